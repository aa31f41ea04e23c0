package accessrequest

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// rights asks the API server who may do what, each question once.
type rights struct {
	ctx       context.Context
	client    client.Client
	namespace string
	known     map[string]bool
	err       error // the first; answers since then are no
}

// allowed reports whether somebody has a verb on an AccessPolicy now.
func (r *rights) allowed(by *v1alpha1.Decider, policy v1alpha1.ObjectName, verb string) bool {
	key := strings.Join(append([]string{by.Username, by.UID, string(policy), verb}, by.Groups...), "\x00")
	if answer, ok := r.known[key]; ok {
		return answer
	}
	if r.err != nil {
		return false
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: by.Username, UID: by.UID, Groups: by.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: r.namespace, Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: "accesspolicies", Name: string(policy),
		},
	}}
	if err := r.client.Create(r.ctx, review); err != nil {
		r.err = fmt.Errorf("ask whether a decider may %s AccessPolicy %s/%s: %w", verb, r.namespace, policy, err)
		return false
	}
	r.known[key] = review.Status.Allowed && !review.Status.Denied
	return r.known[key]
}
