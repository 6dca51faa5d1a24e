{{/* Names have room for "-voice-", a region and a number in the 63 characters of a DNS label. */}}
{{- define "guildhall.name" -}}
{{- if contains "guildhall" .Release.Name -}}
{{- .Release.Name | trunc 24 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-guildhall" (.Release.Name | trunc 14 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "guildhall.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "guildhall.voiceImage" -}}
{{- printf "%s:%s" .Values.image.repository (coalesce .Values.voice.tag .Values.image.tag .Chart.AppVersion) -}}
{{- end -}}

{{/* The Services that voice nodes dial, one for each control plane: a node keeps a line to every one of them. */}}
{{- define "guildhall.nodesServices" -}}
{{- $name := include "guildhall.name" . -}}
{{- if eq (int .Values.controlPlane.replicas) 1 -}}
{{ $name }}-nodes
{{- else -}}
{{- $names := list -}}
{{- range $number := until (int .Values.controlPlane.replicas) -}}
{{- $names = append $names (printf "%s-nodes-%d" $name $number) -}}
{{- end -}}
{{ join "," $names }}
{{- end -}}
{{- end -}}

{{- define "guildhall.controlPlaneUrls" -}}
{{- $urls := list -}}
{{- range $service := splitList "," (include "guildhall.nodesServices" .) -}}
{{- $urls = append $urls (printf "https://%s.%s.svc:7443" $service $.Release.Namespace) -}}
{{- end -}}
{{ join "," $urls }}
{{- end -}}

{{/* How voice nodes show who they are: by a certificate, or by the join secret. */}}
{{- define "guildhall.joinSecret" -}}
{{- if not (or .Values.nodesMutualTls.enabled .Values.joinSecret.existingSecret) -}}
{{- fail "joinSecret.existingSecret is missing: voice nodes join with it, or by nodesMutualTls" -}}
{{- end -}}
{{ .Values.joinSecret.existingSecret }}
{{- end -}}

{{/* The Secret of a region's certificate. Takes the chart's context and the region. */}}
{{- define "guildhall.regionSecret" -}}
{{- printf "%s-voice-%s-join" (include "guildhall.name" .top) .region.name -}}
{{- end -}}

{{/* Where control planes find the authority of nodes' certificates. */}}
{{- define "guildhall.nodesAuthority" -}}
{{- $mutual := .Values.nodesMutualTls -}}
{{- if $mutual.authoritySecret -}}
{{ $mutual.authoritySecret }}
{{- else if $mutual.certManager.enabled -}}
{{ include "guildhall.regionSecret" (dict "top" . "region" (first .Values.voice.regions)) }}
{{- else -}}
{{- fail "nodesMutualTls.authoritySecret is missing: control planes take nodes with certificates below its ca.crt" -}}
{{- end -}}
{{- end -}}

{{/* name=latitude/longitude of every region, or nothing without a database that they are for. */}}
{{- define "guildhall.regionLocations" -}}
{{- $pairs := list -}}
{{- range $region := .Values.voice.regions -}}
{{- with $region.location -}}
{{- $pairs = append $pairs (printf "%s=%s" $region.name .) -}}
{{- end -}}
{{- end -}}
{{- if not $pairs -}}
{{- fail "voice.regions have no location: controlPlane.geoDatabase estimates distances to them" -}}
{{- end -}}
{{ join "," $pairs }}
{{- end -}}

{{- define "guildhall.selector" -}}
app.kubernetes.io/name: guildhall
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "guildhall.labels" -}}
{{ include "guildhall.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The image's user; it owns nothing but what is mounted for it. */}}
{{- define "guildhall.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "guildhall.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Alive: it serves requests. Ready: database and media answer. The answer is up to a second old and takes 0.8 s at most. */}}
{{- define "guildhall.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 2
  # Migrations come before the port: five minutes.
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  # A machine that is starved for half a minute is not helped by a restart.
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 2
{{- end -}}

{{/* /metrics wants a loopback peer, a loopback name and no proxy's header; nginx adds none by itself. */}}
{{- define "guildhall.metricsSidecar" -}}
- name: metrics
  image: {{ .top.Values.metrics.image | quote }}
  ports:
    - {name: metrics, containerPort: {{ .top.Values.metrics.port }}}
  securityContext:
    {{- include "guildhall.security" .top | nindent 4 }}
    runAsUser: 101
    runAsGroup: 101
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: metrics-config, mountPath: /etc/nginx/nginx.conf, subPath: {{ .file }}, readOnly: true}
    - {name: metrics-tmp, mountPath: /tmp}
{{- end -}}

{{- define "guildhall.metricsVolumes" -}}
- name: metrics-config
  configMap: {name: {{ include "guildhall.name" . }}-metrics}
- name: metrics-tmp
  emptyDir: {sizeLimit: 16Mi}
{{- end -}}

{{- define "guildhall.extraEnv" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end -}}
{{- end -}}
