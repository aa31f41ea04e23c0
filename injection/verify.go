package injection

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// Reason names why a pod is not believed to be injected. One name is shared by error, metric label and log line.
type Reason string

// Reasons.
const (
	// ReasonNotInjected goes with pods that never went through injection.
	ReasonNotInjected Reason = "NotInjected"
	// ReasonNamespaceNotEnabled goes with pods in a namespace that is not, or no longer, opted in.
	ReasonNamespaceNotEnabled Reason = "NamespaceNotEnabled"
	// ReasonWrongImage goes with pods whose proxy container has another image than the operator is configured with.
	ReasonWrongImage Reason = "WrongImage"
	// ReasonAltered goes with pods in which what injection wrote is not as it wrote it.
	ReasonAltered Reason = "AlteredInjection"
	// ReasonReachesProxy goes with pods of which another part reaches for the proxy; see Reaches.
	ReasonReachesProxy Reason = "ReachesProxy"
)

// Error says why a pod is not believed.
type Error struct {
	// Reason is for machines.
	Reason Reason
	// Problem is for people.
	Problem Problem
}

// Error implements error.
func (e *Error) Error() string { return e.Problem.String() }

const recreate = "delete the pod and let its controller create it again"

// Verify says whether a pod, as its API server holds it, is injected by us and still as injection left it: namespace
// opted in, label, status, container with the configured image, volumes, and nothing in the pod that reaches for them. It
// returns what the pod was injected with. The error is an *Error.
//
// This is what stands between a pod and a credential: whoever may create pods in a namespace with a data source's
// service account can have a token for the operator, and could otherwise read the credential with a container of their
// own. Pods made while no webhook was looking fail here.
func Verify(pod *corev1.Pod, namespaceLabels map[string]string, s *Settings) (*Status, error) {
	if namespaceLabels[NamespaceLabel] != NamespaceEnabled {
		return nil, refuse(ReasonNamespaceNotEnabled, "metadata.namespace",
			fmt.Sprintf("%s is not labeled %s=%s", pod.Namespace, NamespaceLabel, NamespaceEnabled), "label the namespace")
	}
	text, annotated := pod.Annotations[StatusAnnotation]
	if pod.Labels[InjectedLabel] != Injected || !annotated {
		return nil, refuse(ReasonNotInjected, "metadata", "the pod was not injected", recreate)
	}
	status, err := ParseStatus(text)
	if err != nil {
		return nil, refuse(ReasonAltered, "metadata.annotations["+StatusAnnotation+"]", err.Error(), recreate)
	}
	if err := verifyContainer(pod, s, status); err != nil {
		return nil, err
	}
	if err := verifyVolumes(pod, status); err != nil {
		return nil, err
	}
	if reaches := Reaches(pod, namespaceLabels); len(reaches) > 0 {
		return nil, &Error{ReasonReachesProxy, reaches[0]}
	}
	return status, nil
}

func refuse(reason Reason, field, what, cure string) error {
	return &Error{reason, Problem{Field: field, What: what, Cure: cure}}
}

// verifyContainer requires exactly one container of our name, where the status says.
func verifyContainer(pod *corev1.Pod, s *Settings, status *Status) error {
	list, field := pod.Spec.InitContainers, "spec.initContainers"
	if status.Sidecar == ModeContainer {
		list, field = pod.Spec.Containers, "spec.containers"
	}
	field += "{" + ContainerName + "}"
	found := named(list)
	if total := len(named(pod.Spec.InitContainers)) + len(named(pod.Spec.Containers)); total != 1 || len(found) != 1 {
		return refuse(ReasonAltered, field, fmt.Sprintf("is not there once and nowhere else (%d there, %d in all)", len(found), total), recreate)
	}
	if !s.trusts(found[0].Image) {
		return refuse(ReasonWrongImage, field+".image",
			fmt.Sprintf("%.256q, where the operator is configured with %q", found[0].Image, s.Image), recreate)
	}
	if part := DifferentContainer(found[0], s, status); part != "" {
		return refuse(ReasonAltered, field+"."+part, "is not as injection wrote it", recreate)
	}
	return nil
}

func named(list []corev1.Container) []*corev1.Container {
	var out []*corev1.Container
	for i := range list {
		if list[i].Name == ContainerName {
			out = append(out, &list[i])
		}
	}
	return out
}

// apiTokenPath is where the API server's ServiceAccount admission mounts the pod's ordinary token into every container,
// ours too, when it is run again after our patch. The pod's other containers have the same token.
const apiTokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// DifferentContainer names the first field in which a proxy's container is not what Container makes, or returns "". What
// an API server's own admission may change is not compared, since it gives nobody anything: resources (LimitRanger), the
// pull policy (AlwaysPullImages) and one more mount, of the pod's ordinary token. Probes may ask elsewhere by HTTP, as
// service meshes make them, but must not run programs in the container.
func DifferentContainer(got *corev1.Container, s *Settings, status *Status) string {
	want := Container(s, status)
	if s.trusts(got.Image) {
		want.Image = got.Image
	}
	have := *got.DeepCopy()
	have.Resources, want.Resources = corev1.ResourceRequirements{}, corev1.ResourceRequirements{}
	have.ResizePolicy, want.ResizePolicy = nil, nil
	have.ImagePullPolicy, want.ImagePullPolicy = "", ""
	for _, p := range []**corev1.Probe{&have.StartupProbe, &have.LivenessProbe} {
		if *p != nil && (*p).Exec == nil {
			*p = nil
		}
	}
	want.StartupProbe, want.LivenessProbe = nil, nil
	have.VolumeMounts = withoutAPIToken(have.VolumeMounts)
	for _, part := range []struct {
		name       string
		have, want any
	}{
		{"name", have.Name, want.Name},
		{"image", have.Image, want.Image},
		{"command", have.Command, want.Command},
		{"args", have.Args, want.Args},
		{"env", have.Env, want.Env},
		{"volumeMounts", have.VolumeMounts, want.VolumeMounts},
		{"securityContext", have.SecurityContext, want.SecurityContext},
		{"restartPolicy", have.RestartPolicy, want.RestartPolicy},
		{"startupProbe", have.StartupProbe, want.StartupProbe},
		{"livenessProbe", have.LivenessProbe, want.LivenessProbe},
	} {
		if !equality.Semantic.DeepEqual(part.have, part.want) {
			return part.name
		}
	}
	if !equality.Semantic.DeepEqual(have, want) { // lifecycle, stdin, envFrom, ports, and whatever comes to exist
		return "(other fields)"
	}
	return ""
}

func withoutAPIToken(mounts []corev1.VolumeMount) []corev1.VolumeMount {
	var out []corev1.VolumeMount
	for _, m := range mounts {
		if m.MountPath == apiTokenPath && m.ReadOnly && m.SubPath == "" && m.SubPathExpr == "" && m.MountPropagation == nil &&
			m.Name != IdentityVolume && m.Name != SpoolVolume {
			continue
		}
		out = append(out, m)
	}
	return out
}

func verifyVolumes(pod *corev1.Pod, status *Status) error {
	want, err := Volumes(status)
	if err != nil {
		return refuse(ReasonAltered, "metadata.annotations["+StatusAnnotation+"]", err.Error(), recreate)
	}
	for i := range want {
		found := 0
		for j := range pod.Spec.Volumes {
			if pod.Spec.Volumes[j].Name != want[i].Name {
				continue
			}
			found++
			if !SameVolume(&pod.Spec.Volumes[j], &want[i]) {
				return refuse(ReasonAltered, "spec.volumes["+want[i].Name+"]", "is not as injection wrote it", recreate)
			}
		}
		if found != 1 {
			return refuse(ReasonAltered, "spec.volumes["+want[i].Name+"]", "is not there", recreate)
		}
	}
	return nil
}

// SameVolume says whether a volume is as Volumes makes it.
func SameVolume(have, want *corev1.Volume) bool { return equality.Semantic.DeepEqual(have, want) }

// ReasonOf returns the reason of an error of Verify, or "".
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}
