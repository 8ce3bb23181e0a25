{{- define "crispy-enigma.operatorRules" -}}
- apiGroups:
  - ""
  resources:
  - namespaces
  verbs:
  - get
- apiGroups:
  - ""
  resources:
  - persistentvolumeclaims
  - secrets
  - serviceaccounts
  - services
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - ""
  resources:
  - pods
  verbs:
  - get
  - list
  - patch
  - watch
- apiGroups:
  - ai.crispy-enigma.dev
  resources:
  - cloudflareaccounts
  - tenants
  verbs:
  - get
  - list
  - patch
  - watch
- apiGroups:
  - ai.crispy-enigma.dev
  resources:
  - cloudflareaccounts/finalizers
  - cloudflarebindings/finalizers
  - tenants/finalizers
  verbs:
  - update
- apiGroups:
  - ai.crispy-enigma.dev
  resources:
  - cloudflareaccounts/status
  - cloudflarebindings/status
  - tenants/status
  verbs:
  - patch
- apiGroups:
  - ai.crispy-enigma.dev
  resources:
  - cloudflarebindings
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - ai.crispy-enigma.dev
  resources:
  - tenantclasses
  verbs:
  - get
  - list
  - watch
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - autoscaling
  resources:
  - horizontalpodautoscalers
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
- apiGroups:
  - gateway.networking.k8s.io
  resources:
  - httproutes
  verbs:
  - create
  - delete
  - get
  - list
  - patch
- apiGroups:
  - networking.k8s.io
  resources:
  - ingresses
  - networkpolicies
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
- apiGroups:
  - policy
  resources:
  - poddisruptionbudgets
  verbs:
  - create
  - delete
  - get
  - list
  - patch
  - watch
{{- end }}
