package injection

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// MeshInitContainers are the init containers by which service meshes program the network of a pod. In a namespace with
// MeshInitLabel they may have the capabilities for that.
var MeshInitContainers = []string{"istio-init", "linkerd-init"}

// capabilities with which a container could read or redirect what the proxy sends and receives, or the proxy itself.
var capabilities = []string{"ALL", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "BPF", "PERFMON"}

// placed is a container and where in the pod it stands.
type placed struct {
	field string
	init  bool
	*corev1.Container
}

// containers lists the pod's containers and init containers without the proxy's.
func containers(pod *corev1.Pod) []placed {
	var out []placed
	add := func(list []corev1.Container, field string, init bool) {
		for i := range list {
			if list[i].Name != ContainerName {
				out = append(out, placed{fmt.Sprintf("spec.%s{%s}", field, list[i].Name), init, &list[i]})
			}
		}
	}
	add(pod.Spec.InitContainers, "initContainers", true)
	add(pod.Spec.Containers, "containers", false)
	return out
}

// Reaches lists everything in a pod that reaches for the proxy: for its network, its processes, its user, its token or
// its volumes. The proxy's own container and volumes, known by their names, are left out; Verify says whether they are
// what they must be.
func Reaches(pod *corev1.Pod, namespaceLabels map[string]string) []Problem {
	problems := reachesOfPod(&pod.Spec)
	meshInit := namespaceLabels[MeshInitLabel] == MeshInitAllowed
	for _, c := range containers(pod) {
		problems = append(problems, reservedIDs(c)...)
		problems = append(problems, mounts(c)...)
		if isMesh := c.init && c.RestartPolicy == nil && slices.Contains(MeshInitContainers, c.Name); !isMesh || !meshInit {
			problems = append(problems, powers(c, isMesh)...)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		problems = append(problems, Problem{
			Field: fmt.Sprintf("spec.ephemeralContainers{%s}", pod.Spec.EphemeralContainers[i].Name),
			What:  "a debug container can be given the proxy's user and processes",
			Cure:  "debug a copy of the pod instead (kubectl debug --copy-to)",
		})
	}
	return append(problems, tokens(pod.Spec.Volumes)...)
}

func reachesOfPod(spec *corev1.PodSpec) []Problem {
	var out []Problem
	add := func(is bool, field, what, cure string) {
		if is {
			out = append(out, Problem{Field: field, What: what, Cure: cure})
		}
	}
	add(spec.HostNetwork, "spec.hostNetwork", "true: a sidecar's loopback listener would be the node's", "remove hostNetwork")
	add(spec.HostPID, "spec.hostPID", "true: the pod's containers would see the proxy's process", "remove hostPID")
	add(spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace, "spec.shareProcessNamespace",
		"true: the pod's containers would see the proxy's process, and its memory with it", "remove shareProcessNamespace")
	add(spec.OS != nil && spec.OS.Name == corev1.Windows, "spec.os.name",
		"windows: the proxy is a Linux program", "run the workload on Linux")
	add(spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows), "spec.nodeSelector["+corev1.LabelOSStable+"]",
		"windows: the proxy is a Linux program", "run the workload on Linux")
	// The API server takes exec without a container's name for the only one, and our policies see the name alone.
	add(len(spec.Containers) == 1 && spec.Containers[0].Name == ContainerName, "spec.containers",
		"has the proxy alone: who enters the pod without naming a container would enter the proxy", "add the application's container")
	sc := spec.SecurityContext
	if sc == nil {
		return out
	}
	ids := map[string]*int64{"runAsUser": sc.RunAsUser, "runAsGroup": sc.RunAsGroup, "fsGroup": sc.FSGroup}
	for _, field := range []string{"runAsUser", "runAsGroup", "fsGroup"} {
		add(reserved(ids[field]), "spec.securityContext."+field, reservedText(), "use another number")
	}
	add(slices.Contains(sc.SupplementalGroups, UserID), "spec.securityContext.supplementalGroups", reservedText(), "use another number")
	return out
}

func reserved(id *int64) bool { return id != nil && *id == UserID }

func reservedText() string { return fmt.Sprintf("%d is reserved for the proxy", UserID) }

func reservedIDs(c placed) []Problem {
	if c.SecurityContext == nil {
		return nil
	}
	var out []Problem
	if reserved(c.SecurityContext.RunAsUser) {
		out = append(out, Problem{c.field + ".securityContext.runAsUser", reservedText(), "use another number"})
	}
	if reserved(c.SecurityContext.RunAsGroup) {
		out = append(out, Problem{c.field + ".securityContext.runAsGroup", reservedText(), "use another number"})
	}
	return out
}

func mounts(c placed) []Problem {
	var out []Problem
	for _, m := range c.VolumeMounts {
		if m.Name == IdentityVolume || m.Name == SpoolVolume {
			out = append(out, Problem{
				fmt.Sprintf("%s.volumeMounts[%s]", c.field, m.MountPath),
				fmt.Sprintf("volume %s belongs to the proxy alone", m.Name), "remove the mount",
			})
		}
	}
	return out
}

// powers finds the capabilities by which a container reaches into another of its pod.
func powers(c placed, isMesh bool) []Problem {
	sc := c.SecurityContext
	if sc == nil {
		return nil
	}
	var out []Problem
	if sc.Privileged != nil && *sc.Privileged {
		out = append(out, Problem{
			c.field + ".securityContext.privileged", "true: a privileged container reaches everything of its node, the proxy included",
			"remove privileged, or run this container in a pod of its own",
		})
	}
	if sc.Capabilities == nil {
		return out
	}
	cure := "remove it, or run this container in a pod of its own"
	if isMesh {
		cure = fmt.Sprintf("label the namespace %s=%s if its service mesh is to be trusted with that", MeshInitLabel, MeshInitAllowed)
	}
	for _, added := range sc.Capabilities.Add {
		// Runtimes take CAP_NET_ADMIN and net_admin for the same.
		if name := strings.TrimPrefix(strings.ToUpper(string(added)), "CAP_"); slices.Contains(capabilities, name) {
			out = append(out, Problem{
				c.field + ".securityContext.capabilities.add",
				fmt.Sprintf("%s: the container could read or redirect what the proxy sends", added), cure,
			})
		}
	}
	return out
}

// tokens finds volumes, other than the proxy's, with a token that the operator would take for the proxy's.
func tokens(volumes []corev1.Volume) []Problem {
	var out []Problem
	for i := range volumes {
		v := &volumes[i]
		if v.Name == IdentityVolume || v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if t := source.ServiceAccountToken; t != nil && t.Audience == Audience {
				out = append(out, Problem{
					fmt.Sprintf("spec.volumes[%s].projected.sources.serviceAccountToken.audience", v.Name),
					fmt.Sprintf("%s: only the proxy may have this token", Audience), "remove it",
				})
			}
		}
	}
	return out
}
