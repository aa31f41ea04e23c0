package inject

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/webhook/annotation"
)

// source is a DataSource that the pod may have.
type source struct {
	name     string // namespace/name
	own      bool   // in the pod's own namespace
	port     int32
	host     string
	database string
	clear    bool // the connection to the server is not encrypted
	unproven bool // nor, or though it is, does the server prove who it is
	secret   string
	env      []v1alpha1.EnvVar
}

// resolve looks up what the annotation names.
func (j *job) resolve(lookup Sources) {
	field := "metadata.annotations[" + injection.Annotation + "]"
	for _, full := range j.options.DataSources {
		namespace, name, err := injection.SplitDataSource(full)
		if err != nil {
			j.addf(ReasonInvalidAnnotation, field, "write namespace/name", "%v", err)
			continue
		}
		ds, found := lookup(namespace, name)
		if !found {
			j.addf(ReasonDataSourceNotFound, field,
				"write the name of one (kubectl get datasources -A), or create it and then the pod", "there is no DataSource %s", full)
			continue
		}
		allowed, err := ds.Spec.AllowedNamespaces.Allows(namespace, j.ns.Name, j.ns.Labels)
		switch {
		case err != nil:
			j.addf(ReasonDataSource, field, "ask its owner to correct it", "DataSource %s: %v", full, err)
		case !allowed:
			j.addf(ReasonDataSource, field, "ask its owner to include it in spec.allowedNamespaces",
				"DataSource %s does not let pods of namespace %s attach", full, j.ns.Name)
		case ds.Spec.Protocol != v1alpha1.ProtocolPostgres || ds.Spec.Postgres == nil:
			j.addf(ReasonDataSource, field, "update Tidewaiter", "DataSource %s speaks %q, which this version does not know",
				full, ds.Spec.Protocol)
		case ds.Spec.Listen.Port < 1024 || ds.Spec.Listen.Port > 65535:
			j.addf(ReasonDataSource, field, "ask its owner to correct it", "DataSource %s: spec.listen.port %d is no port from 1024 to 65535",
				full, ds.Spec.Listen.Port)
		default:
			j.sources = append(j.sources, source{
				name: full, own: namespace == j.ns.Name, port: ds.Spec.Listen.Port, host: ds.Spec.Postgres.Host,
				database: ds.Spec.Postgres.Database, secret: string(ds.Spec.Credentials.SecretRef.Name), env: ds.Spec.Inject.Env,
				clear:    ds.Spec.Postgres.TLS.Mode == v1alpha1.TLSDisable,
				unproven: ds.Spec.Postgres.TLS.Mode == v1alpha1.TLSDisable || ds.Spec.Postgres.TLS.Mode == v1alpha1.TLSRequire,
			})
		}
	}
}

// checkPorts refuses two listeners on one port: of two data sources, of a data source and the probes, or of the proxy and
// another container. Init containers count as well: the proxy runs while they do.
func (j *job) checkPorts() {
	health := "metadata.annotations[" + annotation.HealthPort + "]"
	owners := map[int32]string{j.options.HealthPort: "the kubelet's probes of the proxy (" + annotation.HealthPort + ")"}
	for _, s := range j.sources {
		if owner, taken := owners[s.port]; taken {
			j.addf(ReasonClash, "metadata.annotations["+injection.Annotation+"]",
				"ask the owner of one to change spec.listen.port, or split the pod",
				"port %d (DataSource %s, spec.listen.port) is also wanted by %s", s.port, s.name, owner)
			continue
		}
		owners[s.port] = "DataSource " + s.name
	}
	for _, c := range j.places() {
		for _, p := range c.Ports {
			owner, taken := owners[p.ContainerPort]
			if !taken || cmp.Or(p.Protocol, corev1.ProtocolTCP) != corev1.ProtocolTCP {
				continue
			}
			cure := "let the container use another port"
			if p.ContainerPort == j.options.HealthPort {
				cure += ", or set " + health + " to another one"
			}
			j.addf(ReasonClash, fmt.Sprintf("%s.ports[%d]", c.field, p.ContainerPort), cure, "the port is wanted by %s", owner)
		}
	}
}

// place is a container of the pod, except the proxy's.
type place struct {
	*corev1.Container
	field string // how people find it
	path  string // how a patch does
	init  bool
}

func (j *job) places() []place {
	var out []place
	add := func(list []corev1.Container, name string, init bool) {
		for i := range list {
			if list[i].Name != injection.ContainerName {
				out = append(out, place{&list[i], fmt.Sprintf("spec.%s{%s}", name, list[i].Name), fmt.Sprintf("/spec/%s/%d", name, i), init})
			}
		}
	}
	add(j.pod.Spec.InitContainers, "initContainers", true)
	add(j.pod.Spec.Containers, "containers", false)
	return out
}

// variable is one environment variable that a data source injects.
type variable struct {
	name, value, source string
}

// variables are what all data sources inject, in order. Two that inject different values under one name clash.
func (j *job) variables() []variable {
	user := cmp.Or(j.pod.Spec.ServiceAccountName, "default")
	var out []variable
	seen := map[string]variable{}
	for _, s := range j.sources {
		fill := strings.NewReplacer("$(USER)", user, "$(HOST)", injection.LoopbackHost,
			"$(PORT)", strconv.Itoa(int(s.port)), "$(DATABASE)", s.database)
		for _, env := range s.env {
			// The kubelet expands $(NAME) and makes one $ of two; what it is given comes out as it was filled in.
			v := variable{env.Name, strings.ReplaceAll(fill.Replace(env.Value), "$", "$$"), s.name}
			first, twice := seen[v.name]
			switch {
			case !twice:
				seen[v.name] = v
				out = append(out, v)
			case first.value != v.value:
				j.addf(ReasonClash, "metadata.annotations["+injection.Annotation+"]",
					"ask the owner of one to name it differently (spec.inject.env), or split the pod",
					"DataSources %s and %s both set the variable %s", first.source, v.source, v.name)
			}
		}
	}
	return out
}
