// Package census counts, from Sessions, which sidecars have a DataSource or an AccessPolicy in the generation that is
// wanted, who is waited for, and who refused.
//
// It believes Sessions alone, which only the operator writes. It must not know how sidecars are spoken to.
package census

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// named is how many sidecars a message names before it says how many more there are.
const named = 3

// IndexName is the name of the index of Sessions that Index makes, by Key.
const IndexName = "dataSource"

// Index makes the cache find Sessions by their DataSource. It is called once, before the cache is started.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.Session{}, IndexName, Key); err != nil {
		return fmt.Errorf("index of Sessions by DataSource: %w", err)
	}
	return nil
}

// Key is a Session's key in the index: "namespace/name" of its DataSource.
func Key(obj client.Object) []string {
	session, ok := obj.(*v1alpha1.Session)
	if !ok {
		return nil
	}
	return []string{session.Spec.DataSource.Namespace + "/" + string(session.Spec.DataSource.Name)}
}

// Sessions lists the Sessions of a DataSource that count: of pods that are there and not cut off.
func Sessions(ctx context.Context, reader client.Reader, namespace, dataSource string) ([]v1alpha1.Session, error) {
	var list v1alpha1.SessionList
	if err := reader.List(ctx, &list, client.MatchingFields{IndexName: namespace + "/" + dataSource}); err != nil {
		return nil, fmt.Errorf("list Sessions of DataSource %s/%s: %w", namespace, dataSource, err)
	}
	return slices.DeleteFunc(list.Items, func(s v1alpha1.Session) bool {
		return s.Status.State == v1alpha1.SessionEnded || s.Status.State == v1alpha1.SessionRevoked
	}), nil
}

// Tally is the result of a count. The zero Tally is of nobody.
type Tally struct {
	Sidecars, Enforcing int
	waiting             []string
	refused             []string
}

// Add counts a Session that is concerned; has says whether it has what is wanted.
func (t *Tally) Add(session *v1alpha1.Session, has bool) {
	t.Sidecars++
	who := session.Namespace + "/" + string(session.Spec.Pod.Name)
	switch r := session.Status.Rejection; {
	case has:
		t.Enforcing++
	case r != nil:
		t.refused = append(t.refused, fmt.Sprintf("%s refused it (%s: %s)", who, r.Reason, r.Message))
	case session.Status.State == v1alpha1.SessionLost:
		t.waiting = append(t.waiting, who+" (not connected)")
	default:
		t.waiting = append(t.waiting, who)
	}
}

// Summary is "enforcing/sidecars".
func (t *Tally) Summary() string { return fmt.Sprintf("%d/%d", t.Enforcing, t.Sidecars) }

// Outcome says whether everybody who is concerned has the generation.
func (t *Tally) Outcome(generation int64) phase.Outcome {
	count := fmt.Sprintf("%s sidecars at revision %d", t.Summary(), generation)
	switch {
	case t.Sidecars == 0:
		return phase.True(v1alpha1.ReasonNoSidecars, "no running sidecar is concerned")
	case len(t.refused) > 0:
		return phase.False(v1alpha1.ReasonRejectedBySidecar, "%s", count+"; "+some(t.refused)+": the revision before stays in force there")
	case t.Enforcing < t.Sidecars:
		return phase.False(v1alpha1.ReasonWaitingForSidecars, "%s", count+"; waiting for "+some(t.waiting))
	default:
		return phase.True(v1alpha1.ReasonEnforced, "%s", count)
	}
}

// some names the first few, in an order that does not change by itself: a message that did would be a status write each time.
func some(all []string) string {
	slices.Sort(all)
	if len(all) <= named {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:named], ", "), len(all)-named)
}
