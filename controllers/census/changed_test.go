package census

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestCountersOfASessionAreNoReasonToCountAgain(t *testing.T) {
	base := v1alpha1.SessionStatus{
		State: v1alpha1.SessionActive, Revision: 7, DataSourceGeneration: 1,
		Policies: []v1alpha1.SessionPolicy{{Name: "reporting", Generation: 2}},
	}
	now := metav1.NewTime(time.Now())
	for name, test := range map[string]struct {
		change func(*v1alpha1.SessionStatus)
		want   bool
	}{
		"numbers":          {func(s *v1alpha1.SessionStatus) { s.Statements, s.Rows, s.LastActivity = 5, 6, &now }, false},
		"active or idle":   {func(s *v1alpha1.SessionStatus) { s.State = v1alpha1.SessionIdle }, false},
		"a renewed bundle": {func(s *v1alpha1.SessionStatus) { s.Revision = 8 }, false},
		"another generation": {func(s *v1alpha1.SessionStatus) {
			s.Policies = []v1alpha1.SessionPolicy{{Name: "reporting", Generation: 3}}
		}, true},
		"another data source's": {func(s *v1alpha1.SessionStatus) { s.DataSourceGeneration = 2 }, true},
		"a refusal":             {func(s *v1alpha1.SessionStatus) { s.Rejection = &v1alpha1.SessionRejection{Reason: "BundleExpired"} }, true},
		"the stream is gone":    {func(s *v1alpha1.SessionStatus) { s.State = v1alpha1.SessionLost }, true},
		"the pod is gone":       {func(s *v1alpha1.SessionStatus) { s.State = v1alpha1.SessionEnded }, true},
		"cut off":               {func(s *v1alpha1.SessionStatus) { s.State = v1alpha1.SessionRevoked }, true},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := &v1alpha1.Session{Status: base}, &v1alpha1.Session{Status: *base.DeepCopy()}
			test.change(&after.Status)
			if got := Changed().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != test.want {
				t.Errorf("counted again: %t", got)
			}
		})
	}
	if p := Changed(); !p.Create(event.CreateEvent{}) || !p.Delete(event.DeleteEvent{}) {
		t.Error("a Session that comes or goes is not counted")
	}
}
