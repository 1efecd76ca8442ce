{{/* The labels that every object has. The second to fourth are Helm's; kustomize's base has the first one only. */}}
{{- define "oomward.labels" -}}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 -}}
{{- $helms := dict "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/managed-by" .Release.Service "helm.sh/chart" $chart -}}
{{- toYaml (merge (dict "app.kubernetes.io/name" "oomward") $helms .Values.commonLabels) -}}
{{- end }}

{{- define "oomward.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default "oomward" }}
{{- end }}

{{/* imagePullSecrets of a pod: the chart's own and those of all charts of the release, each once. */}}
{{- define "oomward.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat .Values.image.pullSecrets .Values.global.imagePullSecrets -}}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with uniq $secrets -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end }}

{{- define "oomward.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "oomward.isLeastPrivilege" -}}
{{- if eq .Values.profile "least-privilege" }}true{{ end -}}
{{- end }}

{{/* Whether the agent gets the runtime's NRI socket. With auto not in least-privilege, nor with `config: {nri: off}`; YAML 1.1 reads off as false. */}}
{{- define "oomward.usesNri" -}}
{{- $off := has (toString .Values.config.nri) (list "off" "false") -}}
{{- $auto := not (or $off (eq .Values.profile "least-privilege")) -}}
{{- if eq (toString .Values.nri.mount) "auto" }}{{ if $auto }}true{{ end }}{{ else if .Values.nri.mount }}true{{ end -}}
{{- end }}

{{/* Kinds of volumes that OpenShift's constraints allow: those that the pod has. */}}
{{- define "oomward.volumeKinds" -}}
{{- $kinds := list "configMap" "hostPath" "projected" -}}
{{- if or .Values.tls.secretName .Values.basicAuth.secretName }}{{ $kinds = append $kinds "secret" }}{{ end -}}
{{- range .Values.extraVolumes }}{{ $kinds = concat $kinds (keys (omit . "name")) }}{{ end -}}
{{- uniq $kinds | sortAlpha | toJson -}}
{{- end }}

{{/* An object of components/monitoring, put into the release's namespace and labelled. Takes (list root file). */}}
{{- define "oomward.monitoringObject" -}}
{{- $root := index . 0 -}}
{{- $object := $root.Files.Get (index . 1) | fromYaml -}}
{{- $labels := merge (dict) (include "oomward.labels" $root | fromYaml) $root.Values.monitoring.labels -}}
{{- $metadata := merge (dict "namespace" $root.Release.Namespace "labels" $labels) $object.metadata -}}
{{- toYaml (merge (dict "metadata" $metadata) $object) -}}
{{- end }}

{{/* An object of another component, labelled and put into the release's namespace. Takes (list root file). */}}
{{- define "oomward.sharedObject" -}}
{{- $root := index . 0 -}}
{{- $object := $root.Files.Get (index . 1) | fromYaml -}}
{{- $metadata := merge (dict "labels" (include "oomward.labels" $root | fromYaml)) $object.metadata -}}
{{- if hasKey $metadata "namespace" }}{{ $_ := set $metadata "namespace" $root.Release.Namespace }}{{ end -}}
{{- range $object.subjects }}{{ $_ := set . "namespace" $root.Release.Namespace }}{{ end -}}
{{- toYaml (merge (dict "metadata" $metadata) $object) -}}
{{- end }}
