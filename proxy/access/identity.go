package access

// Identity says who is at the other end of a connection, as far as the proxy
// itself has established it. Nothing in it comes from the client.
type Identity struct {
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	Pod            string            `json:"pod,omitempty"`
	PodUID         string            `json:"podUID,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Process        *Process          `json:"process,omitempty"`
}

// Subject is the identity's short name, "namespace/serviceaccount".
func (i Identity) Subject() string { return i.Namespace + "/" + i.ServiceAccount }

// Process is the peer of a unix socket as the kernel reports it (SO_PEERCRED).
type Process struct {
	PID int    `json:"pid"`
	UID int    `json:"uid"`
	Exe string `json:"exe,omitempty"`
}

// Hello is what a client says of itself when it connects. Every field is a
// claim: it is recorded, never trusted, and never used as a credential.
type Hello struct {
	User        string            `json:"user,omitempty"`
	Database    string            `json:"database,omitempty"`
	Application string            `json:"application,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	Protocol    string            `json:"protocol,omitempty"` // wire version, e.g. "3.0"
}
