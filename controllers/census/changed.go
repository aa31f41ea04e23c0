package census

import (
	"reflect"

	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Changed lets through the events of Sessions that can change a count. Counters change every minute in every Session, and
// mean nothing here.
func Changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Session)
		after, also := e.ObjectNew.(*v1alpha1.Session)
		return !ok || !also || counted(&before.Status) != counted(&after.Status) ||
			!reflect.DeepEqual(before.Status.Policies, after.Status.Policies) ||
			!reflect.DeepEqual(before.Status.Rejection, after.Status.Rejection)
	}}
}

type mark struct {
	counts, lost bool
	generation   int64
}

func counted(s *v1alpha1.SessionStatus) mark {
	return mark{
		counts: s.State != v1alpha1.SessionEnded && s.State != v1alpha1.SessionRevoked,
		lost:   s.State == v1alpha1.SessionLost, generation: s.DataSourceGeneration,
	}
}
