package audit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/go-logr/logr"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
)

// What is asked of the API server: verb on resource/subresource of group.
const (
	group       = "tidewaiter.dev"
	resource    = "sessions"
	subresource = "recording"

	verbRead  = "get"
	verbErase = "delete"
)

// The ClusterRoles that an installation has for it.
var roles = map[string]string{verbRead: "tidewaiter-recordings-reader", verbErase: "tidewaiter-recordings-eraser"}

// right is what somebody needs. An empty namespace means all of them.
type right struct{ verb, namespace string }

// rights asks the API server whether users may.
type rights struct {
	reviews AccessReviewer
	now     func() time.Time
	log     logr.Logger
	known   *brief[question, bool]
}

type question struct {
	token [sha256.Size]byte
	right
}

func newRights(reviews AccessReviewer, now func() time.Time, log logr.Logger) *rights {
	return &rights{reviews: reviews, now: now, log: log, known: newBrief[question, bool](now)}
}

// need refuses who may not.
func (a *rights) need(ctx context.Context, u *user, r right) *wire.Refusal {
	q := question{u.token, r}
	may, known := a.known.get(q)
	if !known {
		asked := a.now()
		var err error
		if may, err = a.ask(ctx, u, r); err != nil {
			return refuse(http.StatusServiceUnavailable, wire.ReasonUnavailable, "the API server could not be asked what "+u.Username+" may do: try again")
		}
		a.known.put(q, may, asked)
		if !may { // once for each answer: who is refused can try without end
			a.log.Info("a read of recordings was refused", "user", u.Username, "credential", u.credential(), "verb", r.verb, "namespace", r.namespace)
		}
	}
	if may {
		return nil
	}
	return refuse(http.StatusForbidden, wire.ReasonForbidden, r.missing(u.Username))
}

// missing names the right and how to get it.
func (r right) missing(who string) string {
	where, cure := "in namespace "+r.namespace, "a RoleBinding in namespace "+r.namespace
	if r.namespace == "" {
		where, cure = "in all namespaces", "a ClusterRoleBinding"
	}
	return fmt.Sprintf("%s may not %s %s.%s/%s %s: ask for %s to ClusterRole %s, or read by a service account that has one",
		who, r.verb, resource, group, subresource, where, cure, roles[r.verb])
}

// ask is one SubjectAccessReview. Who is both allowed and denied is denied.
func (a *rights) ask(ctx context.Context, u *user, r right) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	extra := make(map[string]authorizationv1.ExtraValue, len(u.Extra))
	for k, v := range u.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review, err := a.reviews.Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: r.namespace, Verb: r.verb, Group: group, Resource: resource, Subresource: subresource,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}
