package inject

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/injection"
)

var (
	// passwordInURL is user:password@ in a URL (RFC 3986, 3.2.1).
	passwordInURL = regexp.MustCompile(`://[^/@\s:]*:[^/@\s]+@`)
	// passwordKeyword is password=… in a connection string of libpq, JDBC or .NET.
	passwordKeyword = regexp.MustCompile(`(?i)(password|pwd)\s*=\s*\S`)
)

// findCredentials looks for signs that the pod has a credential of its own for a data source. They are signs: who really
// wants to hide one can, and the guarantee rests on the database refusing everybody but the proxy's role.
func (j *job) findCredentials() {
	injected := map[string]bool{}
	for _, v := range j.vars {
		injected[v.name] = true
	}
	for _, s := range j.sources {
		for _, c := range j.places() {
			j.findInContainer(&c, &s, injected)
		}
		if s.own {
			j.findInVolumes(&s)
		}
	}
}

func (j *job) findInContainer(c *place, s *source, injected map[string]bool) {
	for i := range c.Env {
		e := &c.Env[i]
		field := fmt.Sprintf("%s.env[%s]", c.field, clip(e.Name))
		switch {
		case injected[e.Name]: // replaced
		case s.own && e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == s.secret:
			j.findf(field, "remove it", "refers to Secret %s, the credential of DataSource %s", s.secret, s.name)
		case carriesPassword(e.Value, s.host):
			j.findf(field, "remove the password, and connect to the sidecar", "holds a password for %s, the host of DataSource %s", s.host, s.name)
		case e.Name == "PGPASSWORD" || e.Name == "PGPASSFILE":
			j.findf(field, "remove it", "gives a password to PostgreSQL clients, and DataSource %s needs none", s.name)
		}
	}
	for i := range c.EnvFrom {
		if ref := c.EnvFrom[i].SecretRef; s.own && ref != nil && ref.Name == s.secret {
			j.findf(c.field+".envFrom["+ref.Name+"]", "remove it", "refers to Secret %s, the credential of DataSource %s", s.secret, s.name)
		}
	}
	for i, words := range [][]string{c.Command, c.Args} {
		if carriesPassword(strings.Join(words, " "), s.host) {
			j.findf(c.field+[]string{".command", ".args"}[i], "remove the password, and connect to the sidecar",
				"holds a password for %s, the host of DataSource %s", s.host, s.name)
		}
	}
}

func (j *job) findInVolumes(s *source) {
	for i := range j.pod.Spec.Volumes {
		v := &j.pod.Spec.Volumes[i]
		refers := v.Secret != nil && v.Secret.SecretName == s.secret
		if v.Projected != nil {
			for _, p := range v.Projected.Sources {
				refers = refers || p.Secret != nil && p.Secret.Name == s.secret
			}
		}
		if refers {
			j.findf("spec.volumes["+clip(v.Name)+"]", "remove it", "refers to Secret %s, the credential of DataSource %s", s.secret, s.name)
		}
	}
}

func carriesPassword(text, host string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(host)) &&
		(passwordInURL.MatchString(text) || passwordKeyword.MatchString(text))
}

// nodePaths are where a node keeps the files of its pods, the proxy's token among them, its processes and the sockets by
// which containers are made.
var nodePaths = []string{"/var/lib/kubelet", "/proc", "/run", "/var/run", "/dev", "/sys", "/var/lib/containerd"}

func (j *job) findHostPaths() {
	for i := range j.pod.Spec.Volumes {
		v := &j.pod.Spec.Volumes[i]
		if v.HostPath == nil {
			continue
		}
		at := path.Clean("/" + v.HostPath.Path)
		for _, node := range nodePaths {
			if at == "/" || at == node || strings.HasPrefix(at, node+"/") || strings.HasPrefix(node, at+"/") {
				j.findf("spec.volumes["+clip(v.Name)+"].hostPath", "mount something narrower, or remove it",
					"shows %s of the node, from which the proxy of this pod and of others can be reached", node)
				break
			}
		}
	}
}

// findEavesdroppers looks for containers that can read the network of the pod: with NET_RAW, which runtimes give to root
// unless it is dropped. What the proxy and the server say to each other is encrypted, except where the DataSource says
// tls.mode: disable; there, values would be read that the proxy masks.
func (j *job) findEavesdroppers() {
	for _, s := range j.sources {
		if !s.clear {
			continue
		}
		for _, c := range j.places() {
			if !slices.Contains(ofMesh, c.Name) && maySniff(j.pod.Spec.SecurityContext, c.SecurityContext) {
				j.findf(c.field+".securityContext.capabilities.drop", "drop NET_RAW or ALL, or run it as another user than root",
					"lets the container read what the proxy and DataSource %s, whose tls.mode is disable, say to each other", s.name)
			}
		}
	}
}

// findImpostors looks for ways by which the pod decides where the name of the server leads: its containers share /etc/hosts
// and the resolver's configuration with the proxy. Where the server does not prove who it is, somebody else could be it, and
// hold the session with what the policy hides.
func (j *job) findImpostors() {
	spec := &j.pod.Spec
	for _, s := range j.sources {
		if !s.unproven {
			continue
		}
		say := func(field, what string) {
			j.findf(field, "remove it, or ask for tls.mode verify-full",
				"%s where the server of DataSource %s is, whose tls.mode does not have it prove who it is", what, s.name)
		}
		for _, alias := range spec.HostAliases {
			if slices.ContainsFunc(alias.Hostnames, func(name string) bool { return strings.EqualFold(name, s.host) }) {
				say("spec.hostAliases["+clip(alias.IP)+"]", "says")
			}
		}
		if spec.DNSPolicy == corev1.DNSNone || spec.DNSConfig != nil && len(spec.DNSConfig.Nameservers) > 0 {
			say("spec.dnsConfig.nameservers", "asks others")
		}
		for _, c := range j.places() {
			if !slices.Contains(ofMesh, c.Name) && mayBeRoot(spec.SecurityContext, c.SecurityContext) {
				j.findf(c.field+".securityContext.runAsNonRoot", "run it as another user, or ask for tls.mode verify-full",
					"root may write /etc/hosts, and say where the server of DataSource %s is, whose tls.mode does not have it prove who it is", s.name)
			}
		}
	}
}

// maySniff reports whether a container may run as root with NET_RAW.
func maySniff(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) bool {
	if c != nil && c.Capabilities != nil && slices.ContainsFunc(c.Capabilities.Drop, func(name corev1.Capability) bool {
		return name == "ALL" || name == "NET_RAW"
	}) {
		return false
	}
	return mayBeRoot(pod, c)
}

// mayBeRoot reports whether nothing keeps a container from running as root.
func mayBeRoot(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) bool {
	var user *int64
	nonRoot := false
	if pod != nil {
		user, nonRoot = pod.RunAsUser, pod.RunAsNonRoot != nil && *pod.RunAsNonRoot
	}
	if c != nil {
		if c.RunAsUser != nil {
			user = c.RunAsUser
		}
		if c.RunAsNonRoot != nil {
			nonRoot = *c.RunAsNonRoot
		}
	}
	return !nonRoot && (user == nil || *user == 0)
}

func (j *job) findf(field, cure, what string, args ...any) {
	j.findings = append(j.findings, injection.Problem{Field: field, What: fmt.Sprintf(what, args...), Cure: cure})
}

// Bounds of warnings: API servers cut them at 4 KiB in all.
const (
	maxWarnings     = 10
	maxWarningBytes = 300
)

func warnings(findings []injection.Problem) []string {
	var out []string
	for i, f := range findings {
		if i == maxWarnings {
			return append(out, fmt.Sprintf("tidewaiter: and %d more warnings", len(findings)-i))
		}
		text := "tidewaiter: " + f.String()
		if len(text) > maxWarningBytes {
			text = strings.ToValidUTF8(text[:maxWarningBytes], "") + "…"
		}
		out = append(out, text)
	}
	return out
}

// clip bounds what is repeated of a pod.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
