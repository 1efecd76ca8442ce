{{/* The labels that every object has. The second to fourth are Helm's; kustomize's base has the first one only. */}}
{{- define "oomward.labels" -}}
app.kubernetes.io/name: oomward
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
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

{{/* Whether the agent gets the runtime's NRI socket: not in least-privilege, nor with `config: {nri: off}` (YAML 1.1 reads off as false). */}}
{{- define "oomward.usesNri" -}}
{{- $off := or (eq (toString .Values.config.nri) "off") (eq (toString .Values.config.nri) "false") -}}
{{- if not (or $off (eq .Values.profile "least-privilege")) }}true{{ end -}}
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
