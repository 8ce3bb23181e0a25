{{- define "crispy-enigma.fullname" -}}
{{- if contains "crispy-enigma" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-crispy-enigma" (.Release.Name | trunc 26 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "crispy-enigma.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "crispy-enigma.fullname" .) }}
{{- end }}

{{- define "crispy-enigma.selector" -}}
app.kubernetes.io/name: crispy-enigma-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "crispy-enigma.labels" -}}
{{ include "crispy-enigma.selector" . }}
app.kubernetes.io/part-of: crispy-enigma
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Image takes [an image's values, the root]. */}}
{{- define "crispy-enigma.image" -}}
{{- $image := index . 0 }}{{- $root := index . 1 }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The default class: an object of its own in the cluster, a mounted file in a namespaced install. */}}
{{- define "crispy-enigma.classSpec" -}}
{{- $spec := deepCopy .Values.tenantClass.spec }}
{{- $_ := set $spec "default" true }}
{{- if and .Values.runtimeImage.pullPolicy (not (hasKey $spec "imagePullPolicy")) }}{{- $_ := set $spec "imagePullPolicy" .Values.runtimeImage.pullPolicy }}{{- end }}
{{- toYaml $spec }}
{{- end }}
