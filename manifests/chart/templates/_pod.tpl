{{/* Parts of a pod that works on the node as the agent does: of the DaemonSet, and of `helm test`. */}}

{{- define "oomward.scheduling" -}}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
hostPID: true
enableServiceLinks: false
{{- if include "oomward.isLeastPrivilege" . }}
securityContext:
  seccompProfile:
    type: RuntimeDefault
{{- end }}
{{- end }}

{{- define "oomward.container" -}}
image: {{ include "oomward.image" . | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "oomward.environment" -}}
env:
{{- if .Values.basicAuth.secretName }}
- name: OOMWARD_BASIC_AUTH_FILE
  value: /etc/oomward-users/users
{{- end }}
{{- if .Values.tls.secretName }}
- name: OOMWARD_TLS_CERT
  value: /etc/oomward-tls/tls.crt
- name: OOMWARD_TLS_KEY
  value: /etc/oomward-tls/tls.key
{{- with .Values.tls.clientCaKey }}
- name: OOMWARD_TLS_CLIENT_CA
  value: /etc/oomward-tls/{{ . }}
{{- end }}
{{- end }}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OOMWARD_CONFIG
  value: /etc/oomward/config.yaml
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "oomward.securityContext" -}}
securityContext:
  {{- if include "oomward.isLeastPrivilege" . }}
  privileged: false
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
    {{- with .Values.leastPrivilege.capabilities }}
    add:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- if .Values.openshift.enabled }}
  seLinuxOptions:
    type: spc_t
  {{- end }}
  {{- else }}
  privileged: true
  {{- end }}
  runAsUser: 0
  runAsGroup: 0
  readOnlyRootFilesystem: true
{{- end }}

{{- define "oomward.volumeMounts" -}}
volumeMounts:
{{- if .Values.basicAuth.secretName }}
- name: users
  mountPath: /etc/oomward-users
  readOnly: true
{{- end }}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/oomward-tls
  readOnly: true
{{- end }}
{{- if .Values.oomPolicyDropIn.enabled }}
- name: systemd
  mountPath: /run/systemd/system
  readOnly: true
{{- end }}
{{- if include "oomward.isLeastPrivilege" . }}
- name: scopes
  mountPath: /run/systemd/transient
  readOnly: true
{{- end }}
- name: config
  mountPath: /etc/oomward
  readOnly: true
- name: cgroup
  mountPath: /sys/fs/cgroup
{{- if not (include "oomward.isLeastPrivilege" .) }}
- name: kmsg
  mountPath: /dev/kmsg
  readOnly: true
{{- end }}
{{- if include "oomward.usesNri" . }}
- name: nri
  mountPath: /var/run/nri
  readOnly: true
{{- end }}
- name: state
  mountPath: /var/lib/oomward
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "oomward.volumes" -}}
volumes:
{{- with .Values.basicAuth.secretName }}
- name: users
  secret:
    secretName: {{ . }}
    items:
    - key: {{ $.Values.basicAuth.usersKey }}
      path: users
{{- end }}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
{{- end }}
{{- if .Values.oomPolicyDropIn.enabled }}
- name: systemd
  hostPath:
    path: /run/systemd/system
    type: Directory
{{- end }}
{{- if include "oomward.isLeastPrivilege" . }}
- name: scopes
  hostPath:
    path: /run/systemd/transient
    type: DirectoryOrCreate
{{- end }}
- name: config
  configMap:
    name: oomward
- name: cgroup
  hostPath:
    path: /sys/fs/cgroup
    type: Directory
{{- if not (include "oomward.isLeastPrivilege" .) }}
- name: kmsg
  hostPath:
    path: /dev/kmsg
    type: CharDevice
{{- end }}
{{- if include "oomward.usesNri" . }}
- name: nri
  hostPath:
    path: {{ .Values.nri.socketDirectory }}
    type: DirectoryOrCreate
{{- end }}
- name: state
  hostPath:
    path: /var/lib/oomward
    type: DirectoryOrCreate
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A probe of a page, by https where the pages are. Takes (list root path timings). */}}
{{- define "oomward.probe" -}}
{{- $root := index . 0 -}}
{{- $get := dict "path" (index . 1) "port" "metrics" -}}
{{- if $root.Values.tls.secretName }}{{ $_ := set $get "scheme" "HTTPS" }}{{ end -}}
{{- toYaml (merge (dict "httpGet" $get) (index . 2)) -}}
{{- end }}

{{/* Changes when a setting does that needs a restart: rules do not. Empty: only rules are set. */}}
{{- define "oomward.settingsChecksum" -}}
{{- $settings := omit .Values.config "rules" "ignoreLabelsIn" -}}
{{- if and .Values.restartOnConfigChange $settings }}{{ toJson $settings | sha256sum }}{{ end -}}
{{- end }}
