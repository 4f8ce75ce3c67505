{{- define "bindproxy-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bindproxy-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "bindproxy-operator.name" . }}
{{- /* The release of the documentation is called bindproxy: bindproxy-bindproxy-operator would help nobody. */ -}}
{{- if eq .Release.Name "bindproxy" }}
{{- $name | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "bindproxy-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "bindproxy-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bindproxy-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name must name an existing ServiceAccount when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* What selects the operator's pods. It can never change, because a Deployment's selector cannot. */ -}}
{{- define "bindproxy-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bindproxy-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bindproxy-operator.labels" -}}
{{ include "bindproxy-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: bindproxy
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /*
The metadata of an object: dict "root" $ "name" N, and where needed "namespace" ("" for cluster-wide objects), "labels" and
"annotations". The chart's own labels win over those of commonLabels, so that no value can break a selector.
*/ -}}
{{- define "bindproxy-operator.metadata" -}}
{{- $own := include "bindproxy-operator.labels" .root | fromYaml -}}
name: {{ .name }}
{{- if not (hasKey . "namespace") }}
namespace: {{ include "bindproxy-operator.namespace" .root }}
{{- else if .namespace }}
namespace: {{ .namespace }}
{{- end }}
labels:
  {{- mergeOverwrite (dict) .root.Values.commonLabels $own (.labels | default dict) | toYaml | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* An image reference: dict "root" $ "image" a map with repository, tag and digest. */ -}}
{{- define "bindproxy-operator.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end }}
{{- end }}

{{- /* "true" when an object of an optional CRD is rendered: dict "root" $ "value" the value's path "settings" {enabled, renderMode} "api" group/version/kind. */ -}}
{{- define "bindproxy-operator.optional" -}}
{{- if .settings.enabled }}
{{- if or (eq .settings.renderMode "alwaysRender") (.root.Capabilities.APIVersions.Has .api) -}}
true
{{- else if eq .settings.renderMode "failIfMissing" }}
{{- fail (printf "%s.enabled is true, but the cluster does not have %s; install its CRD, or set %s.renderMode to skipIfMissing" .value .api .value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "bindproxy-operator.metricsService" -}}
{{ include "bindproxy-operator.fullname" . }}
{{- end }}
