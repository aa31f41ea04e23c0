package distribute

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// identity is a pod that may have a stream, and what it was injected with.
type identity struct {
	pod       *corev1.Pod
	namespace *corev1.Namespace
	injected  []types.NamespacedName // sorted as injection wrote them
}

// maxInjected bounds the data sources of a pod, as the protocol does.
const maxInjected = 32

// identify judges the caller's pod as the cache has it; either object may be nil.
// While a stream lasts it is asked again with each change, and then a pod that is
// being deleted goes on until it is gone: its connections are to end well.
func identify(c caller, pod *corev1.Pod, namespace *corev1.Namespace, injected Injected, established bool) (identity, error) {
	if err := present(c, pod, established); err != nil {
		return identity{}, err
	}
	if pod.Spec.ServiceAccountName != c.serviceAccount {
		return identity{}, forbidden(ReasonServiceAccount, fmt.Sprintf("the token is of service account %q, the pod has another", c.serviceAccount))
	}
	if namespace == nil {
		return identity{}, unavailable(ReasonPodNotSeen, "the operator has not seen the pod's namespace yet: try again")
	}
	names, reason, err := injected(pod, namespace.Labels)
	if err != nil {
		if reason == "" {
			reason = ReasonNotInjected
		}
		return identity{}, forbidden(reason, err.Error())
	}
	if len(names) > maxInjected {
		return identity{}, forbidden(ReasonNotInjected, fmt.Sprintf("the pod names more than %d data sources", maxInjected))
	}
	out := identity{pod: pod, namespace: namespace}
	for _, name := range names {
		full, ok := parseName(name)
		if !ok {
			return identity{}, forbidden(ReasonNotInjected, fmt.Sprintf("%.300q is not namespace/name of a DataSource", name))
		}
		out.injected = append(out.injected, full)
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

// parseName reads "namespace/name".
func parseName(s string) (types.NamespacedName, bool) {
	for i := range len(s) {
		if s[i] == '/' {
			n := types.NamespacedName{Namespace: s[:i], Name: s[i+1:]}
			return n, n.Namespace != "" && n.Name != ""
		}
	}
	return types.NamespacedName{}, false
}
