{{- /* Shared by the pod templates; the loader puts it in place of a line "#definitions". Calls hand over a dict. */ -}}

{{- /* . is the pod; an address and a start time that it already has stay. */ -}}
{{- define "address" }}
startTime: {{ or .status.startTime Now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
hostIPs: [{ ip: {{ NodeIPWith .spec.nodeName | Quote }} }]
{{- $ip := or .status.podIP (PodIPWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace) }}
podIP: {{ $ip | Quote }}
podIPs: [{ ip: {{ $ip | Quote }} }]
{{- end }}

{{- /* pod; ready: the status of Ready, "True" or "False"; reason: why it is False; creating: no container has started */ -}}
{{- define "conditions" }}
{{- $now := Now }}
{{- $names := list }}
{{- range .pod.spec.containers }}{{ $names = append $names .name }}{{ end }}
{{- $waiting := list }}
{{- if .creating }}{{ range .pod.spec.initContainers }}{{ $waiting = append $waiting .name }}{{ end }}{{ end }}
conditions:
- { type: PodReadyToStartContainers, status: {{ ternary "False" "True" (or .creating false) | Quote }}, lastTransitionTime: {{ $now | Quote }} }
- type: Initialized
  lastTransitionTime: {{ $now | Quote }}
{{- if $waiting }}
  status: "False"
  reason: ContainersNotInitialized
  message: {{ printf "containers with incomplete status: [%s]" (join " " $waiting) | Quote }}
{{- else }}
  status: "True"
  reason: null
  message: null
{{- end }}
{{- $ready := .ready }}
{{- $reason := .reason | default "ContainersNotReady" }}
{{- range list "ContainersReady" "Ready" }}
- type: {{ . }}
  status: {{ $ready | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{- if eq $ready "True" }}
  reason: null
  message: null
{{- else }}
  reason: {{ $reason }}
  message: {{ if eq $reason "ContainersNotReady" }}{{ printf "containers with unready status: [%s]" (join " " $names) | Quote }}{{ else }}null{{ end }}
{{- end }}
{{- end }}
{{- range .pod.spec.readinessGates }}
- { type: {{ .conditionType | Quote }}, status: "True", lastTransitionTime: {{ $now | Quote }} }
{{- end }}
{{- end }}

{{- /* pod; creating: they wait, otherwise they have completed (sidecars: run) */ -}}
{{- define "init-containers" }}
{{- $root := . }}
{{- $now := Now }}
{{- with .pod.spec.initContainers }}
initContainerStatuses:
{{- range . }}
{{- if $root.creating }}
{{- template "container" (dict "pod" $root.pod "container" . "reason" "PodInitializing") }}
{{- else if eq (or .restartPolicy "") "Always" }}
{{- template "container" (dict "pod" $root.pod "container" . "state" (dict "running" (dict "startedAt" $now)) "ready" true "started" true) }}
{{- else }}
{{- $ended := dict "exitCode" 0 "reason" "Completed" "startedAt" $now "finishedAt" $now }}
{{- template "container" (dict "pod" $root.pod "container" . "state" (dict "terminated" $ended) "ready" true) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* pod, container (of the spec); either state, or reason and message of a wait before the first start; ready, started,
       restarts, last: the state before */ -}}
{{- define "container" }}
- name: {{ .container.name | Quote }}
  image: {{ .container.image | Quote }}
{{- if .state }}
  imageID: {{ printf "%s@sha256:%s" .container.image (sha256sum .container.image) | Quote }}
  containerID: containerd://{{ printf "%s/%s/%v" .pod.metadata.uid .container.name .restarts | sha256sum }}
  state: {{ toJson .state }}
{{- else }}
  imageID: ""
  state: { waiting: { reason: {{ .reason }}, message: {{ toJson (or .message "") }} } }
{{- end }}
  ready: {{ or .ready false }}
  started: {{ or .started false }}
  restartCount: {{ or .restarts 0 }}
{{- with .last }}
  lastState: {{ toJson . }}
{{- end }}
{{- end }}

{{- /* pod: every container runs; ready: whether the chosen ones are ready, true by default for the others */ -}}
{{- define "running-containers" }}
{{- $root := . }}
{{- $running := dict "running" (dict "startedAt" Now) }}
{{- $only := index (or .pod.metadata.annotations dict) "testbed.eve.dev/container" }}
containerStatuses:
{{- range .pod.spec.containers }}
{{- $chosen := or (not $only) (eq $only .name) }}
{{- template "container" (dict "pod" $root.pod "container" . "state" $running "started" true "ready" (or $root.ready (not $chosen))) }}
{{- end }}
{{- end }}

{{- /* pod, reason, message (IMAGE stands for the image): the chosen containers wait for their first start, the others run */ -}}
{{- define "waiting-containers" }}
{{- $root := . }}
{{- $running := dict "running" (dict "startedAt" Now) }}
{{- $only := index (or .pod.metadata.annotations dict) "testbed.eve.dev/container" }}
containerStatuses:
{{- range .pod.spec.containers }}
{{- if or (not $only) (eq $only .name) }}
{{- template "container" (dict "pod" $root.pod "container" . "reason" $root.reason "message" (replace "IMAGE" .image (or $root.message ""))) }}
{{- else }}
{{- template "container" (dict "pod" $root.pod "container" . "state" $running "ready" true "started" true) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* pod, exitCode and reason of the chosen containers; the others have completed */ -}}
{{- define "ended-containers" }}
{{- $root := . }}
{{- $now := Now }}
{{- $only := index (or .pod.metadata.annotations dict) "testbed.eve.dev/container" }}
containerStatuses:
{{- range .pod.spec.containers }}
{{- $chosen := or (not $only) (eq $only .name) }}
{{- $ended := dict "exitCode" (ternary $root.exitCode 0 $chosen) "reason" (ternary $root.reason "Completed" $chosen) "startedAt" (or $root.pod.status.startTime $now) "finishedAt" $now }}
{{- template "container" (dict "pod" $root.pod "container" . "state" (dict "terminated" $ended)) }}
{{- end }}
{{- end }}

{{- /* pod, phase of the loop: "exit" for the first end, "restart", "back-off"; the others run */ -}}
{{- define "crashing-containers" }}
{{- $root := . }}
{{- $now := Now }}
{{- $running := dict "running" (dict "startedAt" $now) }}
{{- $ended := dict "terminated" (dict "exitCode" 1 "reason" "Error" "startedAt" $now "finishedAt" $now) }}
{{- $only := index (or .pod.metadata.annotations dict) "testbed.eve.dev/container" }}
containerStatuses:
{{- range $index, $container := .pod.spec.containers }}
{{- if and $only (ne $only .name) }}
{{- template "container" (dict "pod" $root.pod "container" . "state" $running "ready" true "started" true) }}
{{- else if eq $root.phase "exit" }}
{{- template "container" (dict "pod" $root.pod "container" . "state" $ended) }}
{{- else }}
{{- $restarts := (index $root.pod.status.containerStatuses $index).restartCount | toString | int64 }}
{{- if eq $root.phase "restart" }}
{{- template "container" (dict "pod" $root.pod "container" . "state" $running "started" true "restarts" (add1 $restarts) "last" $ended) }}
{{- else }}
{{- $message := printf "back-off 10s restarting failed container=%s pod=%s_%s(%s)" .name $root.pod.metadata.name $root.pod.metadata.namespace $root.pod.metadata.uid }}
{{- $waiting := dict "waiting" (dict "reason" "CrashLoopBackOff" "message" $message) }}
{{- template "container" (dict "pod" $root.pod "container" . "state" $waiting "restarts" $restarts "last" $ended) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
