// Package injection holds what webhook and operator must agree on about an injected pod: the names, paths and arguments,
// the exact container and volumes that make a pod injected, what in a pod reaches for them, and the judgement whether a
// pod is injected by us.
//
// It is pure: types of the Kubernetes API in, values out. It must not know the webhook, the controllers, a client, the
// network, files or the clock.
package injection

// What an owner of a namespace or of a pod writes.
const (
	// Domain is the prefix of every label and annotation of ours.
	Domain = "tidewaiter.dev/"
	// NamespaceLabel opts a namespace in, when its value is NamespaceEnabled.
	NamespaceLabel = Domain + "injection"
	// NamespaceEnabled is the value of NamespaceLabel that opts in.
	NamespaceEnabled = "enabled"
	// MeshInitLabel, on a namespace and with the value MeshInitAllowed, lets the init containers of service meshes
	// (MeshInitContainers) have the network capabilities that they program the pod's network with. It is the platform's
	// decision and therefore on the namespace: the name of a container is its author's to choose.
	MeshInitLabel = Domain + "mesh-init"
	// MeshInitAllowed is the value of MeshInitLabel that allows.
	MeshInitAllowed = "allowed"
	// Annotation on a pod names the data sources that it uses, and asks for injection.
	Annotation = Domain + "inject"
)

// What injection writes into a pod.
const (
	// InjectedLabel marks an injected pod, with the value Injected.
	InjectedLabel = Domain + "injected"
	// Injected is the value of InjectedLabel.
	Injected = "true"
	// StatusAnnotation holds the Status of an injected pod as JSON.
	StatusAnnotation = Domain + "status"
	// ContainerName is the proxy's container.
	ContainerName = "tidewaiter-proxy"
	// IdentityVolume holds the token and the operator's CA. Only the proxy mounts it.
	IdentityVolume = "tidewaiter-identity"
	// SpoolVolume holds recordings on their way to the operator. Only the proxy mounts it.
	SpoolVolume = "tidewaiter-spool"
)

// What the proxy finds in its container.
const (
	// IdentityPath is where IdentityVolume is mounted.
	IdentityPath = "/var/run/tidewaiter/identity"
	// TokenFile, in IdentityPath, is the service account's token for Audience.
	TokenFile = "token"
	// CAFile, in IdentityPath, holds the certificates that the operator is verified by.
	CAFile = "ca.crt"
	// SpoolPath is where SpoolVolume is mounted.
	SpoolPath = "/var/lib/tidewaiter"
	// HealthPort is where the kubelet asks for ReadyPath and LivePath unless the pod says otherwise. It is none of the
	// ports that Istio (15000 to 15090, 15021 among them) and Linkerd (4140 to 4191) take in every pod.
	HealthPort int32 = 16021
	// ReadyPath answers 200 when listeners, identity, policy and credential are all there.
	ReadyPath = "/readyz"
	// LivePath answers 200 while the process works.
	LivePath = "/healthz"
	// LoopbackHost is where the data sources listen inside the pod.
	LoopbackHost = "127.0.0.1"
)

// What operator and proxy know each other by.
const (
	// Audience of the proxy's token. The operator takes no other, and no other container may ask for it.
	Audience = Domain + "operator"
	// TokenSeconds is the lifetime of the proxy's token, the least that Kubernetes grants.
	TokenSeconds int64 = 600
	// CAConfigMap, in every opted-in namespace, holds the operator's CA under CAFile.
	CAConfigMap = "tidewaiter-ca"
	// UserID is the proxy's user and group. No other container of the pod may use it: a process of the same user could
	// read the proxy's files and, where process namespaces are shared, its memory.
	UserID int64 = 64535
	// OperatorAddress is where proxies find the operator unless Settings say otherwise.
	OperatorAddress = "tidewaiter-operator.tidewaiter-system.svc:8443"
)
