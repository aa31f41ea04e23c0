package session

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// ReasonAttestationDisagreed is the reason of the event about alarms.
const ReasonAttestationDisagreed = "AttestationDisagreed"

// alarm makes an event of alarms that the Session did not show before. The first
// write of a Session whose sidecar was here before this replica repeats them: an
// alarm told twice is better than one that fell between two replicas. Callers hold
// the lock; the recorder only queues.
func (w *Writer) alarm(e *entry, now int64) {
	var before int64
	if e.written != nil {
		before = e.written.Alarms
	}
	if w.o.Events == nil || now <= before {
		return
	}
	about := e.who.object(e.name)
	if found := w.cached(e); found.Session != nil {
		about.UID = found.UID // by which kubectl describe finds the event
	}
	about.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Session"))
	pod := &corev1.Pod{}
	pod.APIVersion, pod.Kind = "v1", "Pod"
	pod.Namespace, pod.Name, pod.UID = e.who.Namespace, e.who.Pod, e.who.UID
	w.o.Events.Eventf(about, pod, corev1.EventTypeWarning, ReasonAttestationDisagreed, "DropResult",
		"%d results were dropped, because the database attested classified columns that the statements did not show (DataSource %s); the recordings hold them",
		now-before, e.who.DataSource)
}
