{{- /*
A pod of `helm test`: dict "root" $ "name" N "args" [..]. The image has no shell; the program itself asks. It is run again while it
fails, since proxies need a moment after an install, and given up after two minutes.
*/ -}}
{{- define "bindproxy-operator.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "bindproxy-operator.metadata" (dict "root" .root "name" .name
        "labels" (dict "app.kubernetes.io/name" (printf "%s-test" (include "bindproxy-operator.name" .root)) "app.kubernetes.io/component" "test")
        "annotations" (dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded")) | nindent 2 }}
spec:
  restartPolicy: OnFailure
  activeDeadlineSeconds: 120
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: probe
      image: {{ include "bindproxy-operator.image" (dict "root" .root "image" .root.Values.proxyImage) | quote }}
      imagePullPolicy: {{ .root.Values.proxyImage.pullPolicy }}
      args: {{ .args | toJson }}
      resources:
        requests: {cpu: 10m, memory: 16Mi}
        limits: {memory: 64Mi}
      {{- with .root.Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
