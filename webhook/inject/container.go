package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/webhook/annotation"
)

// meshes are service meshes by the container that they add to check that their CNI plugin did its work, and by their
// proxy.
var meshes = []struct{ validator, proxy string }{
	{"istio-validation", "istio-proxy"},
	{"linkerd-network-validator", "linkerd-proxy"},
}

// ofMesh are containers that service meshes add to pods; they use no data source.
var ofMesh = []string{
	"istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init", "linkerd-network-validator",
}

// writeContainer adds the proxy's container, unless it is there as it would be written.
func (j *job) writeContainer() {
	if j.status.SpoolSize == "" {
		return // writeStatus has said why
	}
	list, other, path := j.pod.Spec.InitContainers, j.pod.Spec.Containers, "initContainers"
	if j.options.Sidecar == injection.ModeContainer {
		list, other, path = other, list, "containers"
	}
	if indexOf(other, injection.ContainerName) >= 0 {
		j.taken("a container named "+injection.ContainerName, "rename the container")
		return
	}
	if at := indexOf(list, injection.ContainerName); at >= 0 {
		if part := injection.DifferentContainer(&list[at], &j.settings.Settings, &j.status); part != "" {
			j.taken(fmt.Sprintf("spec.%s{%s}.%s", path, injection.ContainerName, part), "rename the container")
			return
		}
		j.moveForward(at)
		return
	}
	c := injection.Container(&j.settings.Settings, &j.status)
	c.Resources = j.resources
	if indexOf(j.pod.Spec.Containers, "istio-proxy") >= 0 || indexOf(j.pod.Spec.InitContainers, "istio-proxy") >= 0 {
		// Istio takes the pod's incoming connections over and, where it demands mutual TLS, refuses the kubelet's. The
		// startup probe is over before that; a liveness probe would have the proxy killed.
		c.LivenessProbe = nil
	}
	if path == "containers" {
		j.patch.add("/spec/containers/-", c)
		return
	}
	if len(list) == 0 {
		j.patch.add("/spec/initContainers", []corev1.Container{c})
		return
	}
	j.patch.add(fmt.Sprintf("/spec/initContainers/%d", j.position(list)), c)
}

// moveForward moves a proxy that is there to where it belongs: another webhook may have put init containers before it.
func (j *job) moveForward(at int) {
	if j.options.Sidecar != injection.ModeNative {
		return
	}
	others := slices.Delete(slices.Clone(j.pod.Spec.InitContainers), at, at+1)
	if to := j.position(others); to != at {
		j.patch.move(fmt.Sprintf("/spec/initContainers/%d", at), fmt.Sprintf("/spec/initContainers/%d", to))
	}
}

// position of a native sidecar among the init containers: before all of them, so that they can use the data sources. Where
// a mesh's CNI plugin redirects the pod's network before any container starts, nothing has a network until the mesh's
// proxy runs, and ours comes right after it.
func (j *job) position(others []corev1.Container) int {
	for _, mesh := range meshes {
		if indexOf(others, mesh.validator) < 0 {
			continue
		}
		at := indexOf(others, mesh.proxy)
		if at < 0 {
			j.addf(ReasonNoSidecar, fmt.Sprintf("spec.initContainers{%s}", mesh.validator),
				"let the mesh run its proxy as a native sidecar, or redirect by an init container instead of its CNI plugin",
				"the mesh redirects the pod's network before any container starts, and %s starts only after the init containers: "+
					"a sidecar among them would reach nobody", mesh.proxy)
			return 0
		}
		return at + 1
	}
	return 0
}

func indexOf(list []corev1.Container, name string) int {
	return slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name })
}

// wantedResources are the operator's, with what the pod says instead.
func (j *job) wantedResources() corev1.ResourceRequirements {
	r := injection.DefaultResources()
	if j.settings.Resources != nil {
		r = *j.settings.Resources.DeepCopy()
	}
	set := func(list *corev1.ResourceList, name corev1.ResourceName, q *resource.Quantity) {
		if q == nil {
			return
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = *q
	}
	set(&r.Requests, corev1.ResourceCPU, j.options.CPURequest)
	set(&r.Limits, corev1.ResourceCPU, j.options.CPULimit)
	set(&r.Requests, corev1.ResourceMemory, j.options.MemoryRequest)
	set(&r.Limits, corev1.ResourceMemory, j.options.MemoryLimit)
	j.checkResource(r, corev1.ResourceCPU, annotation.CPURequest, annotation.CPULimit)
	j.checkResource(r, corev1.ResourceMemory, annotation.MemoryRequest, annotation.MemoryLimit)
	return r
}

func (j *job) checkResource(r corev1.ResourceRequirements, name corev1.ResourceName, request, limit string) {
	asked, some := r.Requests[name]
	most, bounded := r.Limits[name]
	if some && bounded && asked.Cmp(most) > 0 {
		j.addf(ReasonInvalidAnnotation, "metadata.annotations["+request+"]", "raise "+limit+" as well",
			"%s is more than the limit of %s", asked.String(), most.String())
	}
}
