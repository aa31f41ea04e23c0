package distribute

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/injection"
)

// identity is a pod that may have a stream, and what it was injected with.
type identity struct {
	pod       *corev1.Pod
	namespace *corev1.Namespace
	injected  []types.NamespacedName // sorted as injection wrote them
}

// identify judges the caller's pod as the cache has it; either object may be nil.
// While a stream lasts it is asked again with each change, and then a pod that is
// being deleted goes on until it is gone: its connections are to end well.
func identify(c caller, pod *corev1.Pod, namespace *corev1.Namespace, settings *injection.Settings, established bool) (identity, error) {
	if err := present(c, pod, established); err != nil {
		return identity{}, err
	}
	if pod.Spec.ServiceAccountName != c.serviceAccount {
		return identity{}, forbidden(ReasonServiceAccount, fmt.Sprintf("the token is of service account %q, the pod has another", c.serviceAccount))
	}
	if namespace == nil {
		return identity{}, unavailable(ReasonPodNotSeen, "the operator has not seen the pod's namespace yet: try again")
	}
	status, err := injection.Verify(pod, namespace.Labels, settings)
	if err != nil {
		return identity{}, forbidden(cmp.Or(string(injection.ReasonOf(err)), ReasonNotInjected), err.Error())
	}
	out := identity{pod: pod, namespace: namespace}
	for _, full := range status.DataSources {
		ns, name, err := injection.SplitDataSource(full)
		if err != nil {
			return identity{}, forbidden(ReasonNotInjected, err.Error())
		}
		out.injected = append(out.injected, types.NamespacedName{Namespace: ns, Name: name})
	}
	return out, nil
}

// present requires the pod that the token is bound to, and no later one of its name.
func present(c caller, pod *corev1.Pod, established bool) error {
	switch {
	case pod == nil && established:
		return forbidden(ReasonPodDeleted, "the pod is gone")
	case pod == nil:
		return unavailable(ReasonPodNotSeen, "the operator has not seen the pod yet: try again")
	case pod.Namespace != c.namespace || pod.Name != c.pod:
		return forbidden(ReasonOtherPod, "the token is bound to another pod")
	case string(pod.UID) != c.uid:
		return forbidden(ReasonPodReplaced, "the token is bound to an earlier pod of that name")
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return forbidden(ReasonPodFinished, "the pod has finished")
	case pod.DeletionTimestamp != nil && !established:
		return forbidden(ReasonPodDeleted, "the pod is being deleted")
	}
	return nil
}
