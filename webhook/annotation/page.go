package annotation

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/injection"
)

const before = `<!-- Code generated from webhook/annotation; DO NOT EDIT. go test ./webhook/annotation -update -->
# Annotations

What the author of a pod may write, in the pod's metadata (for Deployments and their like: in the template's). They count in
namespaces labeled ` + "`%s=%s`" + `; elsewhere a pod with them is refused, never silently left without its sidecar. An
annotation of ` + "`%s`" + ` that is not listed here is refused too.

| annotation | value | default | bounds |
|---|---|---|---|
`

const after = `
## What injection writes

The label ` + "`%s=%s`" + ` and the annotation ` + "`%s`" + ` are written by injection and are not yours to write or to change. A pod that
brings them along, such as one copied with ` + "`kubectl get -o yaml`" + `, is accepted only if everything that injection writes is there
exactly as it would write it.

Environment variables that a DataSource's ` + "`spec.inject.env`" + ` names are set in every container of the pod, and in its init
containers, before the container's own. **A variable of that name that the pod sets itself is replaced**, whether its value is
literal or from a Secret: an application that silently kept a credential of its own would go past the sidecar. Whoever creates the
pod is warned of it; where the operator runs with ` + "`--strict`" + ` the pod is refused instead. So it is with other signs of a
credential in the pod: a reference to the DataSource's own Secret, a password for its host in a variable, a ` + "`PGPASSWORD`" + `, with
host paths that show the node's processes or the files of its pods, and with containers that could read the pod's network
(root with NET_RAW) beside a DataSource that is reached without TLS.
`

// Page is docs/annotations.md.
func Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, before, injection.NamespaceLabel, injection.NamespaceEnabled, injection.Domain)
	for _, e := range Table {
		bounds := e.Bounds
		if bounds == "" {
			bounds = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Key, e.Type, e.Default, bounds)
	}
	for _, e := range Table {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```yaml\nannotations:\n  %s: %q\n```\n", strings.TrimPrefix(e.Key, injection.Domain), e.Doc, e.Key, e.Example)
	}
	fmt.Fprintf(&b, after, injection.InjectedLabel, injection.Injected, injection.StatusAnnotation)
	return b.String()
}
