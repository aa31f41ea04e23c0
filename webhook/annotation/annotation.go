// Package annotation is the table of the annotations that a pod's author may write: key, type, default, bounds and
// documentation, once. The parser, its errors and the page docs/annotations.md are made from it.
//
// It is pure. It must not know pods, data sources, clients or where annotations come from.
package annotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tidewaiter/tidewaiter/injection"
)

// Options are what the annotations of a pod say. A nil quantity means what the operator is configured with.
type Options struct {
	// DataSources are namespace/name, sorted, each once.
	DataSources []string
	// Sidecar is how the proxy runs.
	Sidecar injection.Mode
	// LogLevel of the proxy.
	LogLevel injection.LogLevel
	// HealthPort is where the kubelet asks.
	HealthPort int32
	// CPURequest, CPULimit, MemoryRequest and MemoryLimit are the proxy container's resources.
	CPURequest, CPULimit, MemoryRequest, MemoryLimit *resource.Quantity
	// SpoolSize is the limit of the volume for recordings.
	SpoolSize *resource.Quantity
}

// Entry is one annotation.
type Entry struct {
	// Key of the annotation.
	Key string
	// Type of its value, in words.
	Type string
	// Default is what counts when the annotation is left out.
	Default string
	// Bounds of the value, in words.
	Bounds string
	// Example of a value.
	Example string
	// Doc says what it does.
	Doc string

	set func(o *Options, podNamespace, value string) error
}

// The keys of the table, besides injection.Annotation.
const (
	Sidecar       = injection.Domain + "sidecar"
	LogLevel      = injection.Domain + "log-level"
	HealthPort    = injection.Domain + "health-port"
	CPURequest    = injection.Domain + "cpu-request"
	CPULimit      = injection.Domain + "cpu-limit"
	MemoryRequest = injection.Domain + "memory-request"
	MemoryLimit   = injection.Domain + "memory-limit"
	SpoolSize     = injection.Domain + "spool-size"
)

// configured is the default of what the operator's configuration decides.
const configured = "as the operator is configured"

// Table is every annotation that a pod's author may write, in the order of the page.
var Table = []Entry{
	{
		Key: injection.Annotation, Type: "DataSources, separated by commas", Default: "none: the pod is not injected",
		Bounds: fmt.Sprintf("1 to %d, each once", injection.MaxDataSources), Example: "data/orders, ledger",
		Doc: "The data sources that the pod uses, as `namespace/name`. Without a namespace, the pod's own. Each has to exist, and its " +
			"`spec.allowedNamespaces` has to include the pod's namespace.",
		set: dataSources,
	},
	{
		Key: Sidecar, Type: "`Native` or `Container`", Default: "`Native`", Bounds: "", Example: "Container",
		Doc: "`Native` runs the proxy as a native sidecar: it is ready before any other container starts, init containers reach data " +
			"sources, and Jobs complete. `Container` is for clusters that do not serve native sidecars: init containers are not given data " +
			"sources, the application has to retry its first connection, and pods that are to complete are refused.",
		set: func(o *Options, _, value string) error {
			return oneOf(&o.Sidecar, value, injection.ModeNative, injection.ModeContainer)
		},
	},
	{
		Key: LogLevel, Type: "`info` or `debug`", Default: "`info`", Example: "debug",
		Doc: "How much the proxy logs. No level logs values or credentials.",
		set: func(o *Options, _, value string) error {
			return oneOf(&o.LogLevel, value, injection.LogInfo, injection.LogDebug)
		},
	},
	{
		Key: HealthPort, Type: "port", Default: fmt.Sprintf("`%d`", injection.HealthPort), Bounds: "1024 to 65535", Example: "16022",
		Doc: "Where the proxy answers the kubelet's probes and serves metrics, on every address of the pod. For pods in which the default " +
			"port is taken.",
		set: healthPort,
	},
	quantity(CPURequest, "1m", "4", "50m", "CPU time that is reserved for the proxy.",
		func(o *Options) **resource.Quantity { return &o.CPURequest }),
	quantity(CPULimit, "50m", "16", "2", "CPU time above which the proxy is throttled, which shows as latency of every query.",
		func(o *Options) **resource.Quantity { return &o.CPULimit }),
	quantity(MemoryRequest, "16Mi", "8Gi", "64Mi", "Memory that is reserved for the proxy.",
		func(o *Options) **resource.Quantity { return &o.MemoryRequest }),
	quantity(MemoryLimit, "64Mi", "16Gi", "512Mi", "Memory above which the proxy is killed, and its connections with it.",
		func(o *Options) **resource.Quantity { return &o.MemoryLimit }),
	quantity(SpoolSize, "16Mi", "64Gi", "4Gi", "Disk for recordings that are on their way to the operator. When it is full, statements that "+
		"must be recorded are refused.", func(o *Options) **resource.Quantity { return &o.SpoolSize }),
}

// Parse reads the annotations of a pod in podNamespace. Annotations of other domains are none of ours; one of ours that
// is not in the table is refused, since a mistyped one would silently do nothing. Each problem names an annotation and
// the cure; with any problem, the options are not to be used.
func Parse(podNamespace string, annotations map[string]string) (Options, []injection.Problem) {
	o := Options{Sidecar: injection.ModeNative, LogLevel: injection.LogInfo, HealthPort: injection.HealthPort}
	var problems []injection.Problem
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(key, injection.Domain) || key == injection.StatusAnnotation {
			continue
		}
		entry := find(key)
		if entry == nil {
			problems = append(problems, problem(key, "is not an annotation of Tidewaiter", "remove it, or write one of "+known()))
			continue
		}
		if err := entry.set(&o, podNamespace, annotations[key]); err != nil {
			problems = append(problems, problem(key, err.Error(), "write for example "+entry.Example))
		}
	}
	return o, problems
}

func problem(key, what, cure string) injection.Problem {
	return injection.Problem{Field: "metadata.annotations[" + clip(key) + "]", What: what, Cure: cure}
}

func find(key string) *Entry {
	i := slices.IndexFunc(Table, func(e Entry) bool { return e.Key == key })
	if i < 0 {
		return nil
	}
	return &Table[i]
}

func known() string {
	keys := make([]string, len(Table))
	for i := range Table {
		keys[i] = strings.TrimPrefix(Table[i].Key, injection.Domain)
	}
	return injection.Domain + "{" + strings.Join(keys, ", ") + "}"
}

// clip bounds what an error repeats.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
