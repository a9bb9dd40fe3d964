{{- define "hollow.labels" -}}
app.kubernetes.io/name: kubereel-hollow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
