package session

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// drip makes an event on the pod when a Session has got the condition SlowDrip. As with alarms, one that is told twice is better
// than one that fell between two replicas. Callers hold the lock; the recorder only queues.
func (w *Writer) drip(e *entry, now []metav1.Condition) {
	if w.o.Events == nil || !meta.IsStatusConditionTrue(now, v1alpha1.ConditionSlowDrip) {
		return
	}
	if e.written != nil && meta.IsStatusConditionTrue(e.written.Conditions, v1alpha1.ConditionSlowDrip) {
		return
	}
	about := e.who.object(e.name)
	about.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Session"))
	pod := &corev1.Pod{}
	pod.APIVersion, pod.Kind = "v1", "Pod"
	pod.Namespace, pod.Name, pod.UID = e.who.Namespace, e.who.Pod, e.who.UID
	w.o.Events.Eventf(pod, about, corev1.EventTypeWarning, v1alpha1.ReasonSustainedReading, "ReadData",
		"DataSource %s: %s; below every limit, that adds up to all of them: look at the recordings, or lower the limit",
		e.who.DataSource, meta.FindStatusCondition(now, v1alpha1.ConditionSlowDrip).Message)
}
