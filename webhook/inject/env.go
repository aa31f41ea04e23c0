package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/injection"
)

// writeEnvironment gives every container the variables of the data sources, before its own, so that its own may refer to
// them. A variable of that name that the container sets itself is replaced wherever it stands, and that is reported: with
// a credential of its own the application would go past the proxy, and nobody would notice.
func (j *job) writeEnvironment() {
	for _, c := range j.places() {
		var missing []corev1.EnvVar
		for _, v := range j.vars {
			if !j.replaceVariable(&c, v) && j.wants(&c) {
				missing = append(missing, corev1.EnvVar{Name: v.name, Value: v.value})
			}
		}
		if len(missing) > 0 && len(c.Env) == 0 {
			j.patch.add(c.path+"/env", missing)
			continue
		}
		for i := range missing {
			j.patch.add(fmt.Sprintf("%s/env/%d", c.path, i), missing[i])
		}
	}
}

// wants says whether a container is given variables that it does not have: a mesh's containers use no data source, and
// init containers cannot while the proxy is an ordinary container.
func (j *job) wants(c *place) bool {
	if c.init && j.options.Sidecar != injection.ModeNative {
		return false
	}
	return !slices.Contains(ofMesh, c.Name) || slices.ContainsFunc(j.vars, func(v variable) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == v.name })
	})
}

// replaceVariable sets every entry of the name, of which the last would count, and reports whether there was one.
func (j *job) replaceVariable(c *place, v variable) bool {
	found := false
	for i := range c.Env {
		e := &c.Env[i]
		if e.Name != v.name {
			continue
		}
		found = true
		if e.ValueFrom == nil && e.Value == v.value {
			continue
		}
		j.patch.replace(fmt.Sprintf("%s/env/%d", c.path, i), corev1.EnvVar{Name: v.name, Value: v.value})
		j.findings = append(j.findings, injection.Problem{
			Field: fmt.Sprintf("%s.env[%s]", c.field, v.name),
			What:  fmt.Sprintf("%s is replaced by what DataSource %s injects", origin(e), v.source), Cure: "remove it from the pod",
		})
	}
	return found
}

// origin says where a variable's value comes from, never what it is.
func origin(e *corev1.EnvVar) string {
	switch {
	case e.ValueFrom == nil:
		return "its literal value"
	case e.ValueFrom.SecretKeyRef != nil:
		return "its value from Secret " + e.ValueFrom.SecretKeyRef.Name
	case e.ValueFrom.ConfigMapKeyRef != nil:
		return "its value from ConfigMap " + e.ValueFrom.ConfigMapKeyRef.Name
	default:
		return "its value"
	}
}
