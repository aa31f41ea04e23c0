{{- /* tidewaiter.image is an image's name: (dict "image" .Values.images.operator "chart" .Chart) */ -}}
{{- define "tidewaiter.image" -}}
{{ .image.repository }}:{{ default .chart.AppVersion .image.tag }}
{{- end -}}
