{{/* Changes the PodMonitor's endpoint by the values. Takes (list root endpoint). */}}
{{- define "oomward.adjustEndpoint" -}}
{{- $root := index . 0 -}}
{{- $endpoint := index . 1 -}}
{{- with $root.Values.monitoring.podMonitor -}}
{{- $_ := set $endpoint "interval" .interval -}}
{{- with .scrapeTimeout }}{{ $_ := set $endpoint "scrapeTimeout" . }}{{ end -}}
{{- $_ := set $endpoint "relabelings" (concat $endpoint.relabelings .relabelings) -}}
{{- with .metricRelabelings }}{{ $_ := set $endpoint "metricRelabelings" . }}{{ end -}}
{{- end -}}
{{- with $root.Values.tls -}}
{{- if .secretName -}}
{{- $tls := dict "serverName" .serverName "ca" (dict "secret" (dict "name" (default .secretName .caSecretName) "key" "ca.crt")) -}}
{{- with .clientSecretName -}}
{{- $_ := set $tls "cert" (dict "secret" (dict "name" . "key" "tls.crt")) -}}
{{- $_ := set $tls "keySecret" (dict "name" . "key" "tls.key") -}}
{{- end -}}
{{- $_ := set $endpoint "scheme" "https" -}}
{{- $_ := set $endpoint "tlsConfig" $tls -}}
{{- end -}}
{{- end -}}
{{- with $root.Values.basicAuth -}}
{{- if .secretName -}}
{{- $user := dict "name" .secretName "key" "username" -}}
{{- $_ := set $endpoint "basicAuth" (dict "username" $user "password" (dict "name" .secretName "key" "password")) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Removes alerts, and changes severities and labels, by the values. Takes (list root rule). */}}
{{- define "oomward.adjustAlerts" -}}
{{- $values := (index . 0).Values.monitoring.alerts -}}
{{- $known := list -}}
{{- range $group := (index . 1).spec.groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- $known = append $known $rule.alert -}}
{{- if not (has $rule.alert $values.disabled) -}}
{{- $ofGroup := ternary $values.agentSeverity "" (eq $group.name "oomward.agent") -}}
{{- $severity := get $values.severities $rule.alert | default $ofGroup | default $rule.labels.severity -}}
{{- $_ := set $rule "labels" (merge (dict "severity" $severity) $values.labels) -}}
{{- $kept = append $kept $rule -}}
{{- end -}}
{{- end -}}
{{- $_ := set $group "rules" $kept -}}
{{- end -}}
{{- range concat $values.disabled (keys $values.severities) -}}
{{- if not (has . $known) }}{{ fail (printf "monitoring.alerts: there is no alert %s; the alerts: %s" . (join ", " $known)) }}{{ end -}}
{{- end -}}
{{- end }}
