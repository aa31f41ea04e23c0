package session

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Served reports whether some replica has the sidecar's stream, as its Session says. Where that cannot be told, one has.
func Served(ctx context.Context, cached client.Reader, who Who) bool {
	var list v1alpha1.SessionList
	err := cached.List(ctx, &list, client.InNamespace(who.Namespace), client.MatchingLabels(Labels(who.DataSource)), client.UnsafeDisableDeepCopy)
	if err != nil {
		return true
	}
	for i := range list.Items {
		s := &list.Items[i]
		if s.Spec.Pod.UID == string(who.UID) && (s.Status.State == v1alpha1.SessionIdle || s.Status.State == v1alpha1.SessionActive) {
			return true
		}
	}
	return false
}
