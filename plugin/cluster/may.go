package cluster

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Action is something that RBAC allows, or not.
type Action struct {
	// Verb such as approve.
	Verb string
	// Group is the API group, v1alpha1.Group for our kinds.
	Group string
	// Resource is the plural, such as accesspolicies.
	Resource string
	// Namespace, empty for all of them or for what has none.
	Namespace string
	// Name of the object, empty for any.
	Name string
}

// Ours is an action on one of our resources.
func Ours(verb, resource, namespace, name string) Action {
	return Action{Verb: verb, Group: v1alpha1.Group, Resource: resource, Namespace: namespace, Name: name}
}

// Rule that allows the action.
func (a Action) Rule() string { return Rule(a.Group, a.Resource, a.Name, a.Verb) }

// Object as people read it: "accesspolicies.tidewaiter.dev/reporting in namespace data".
func (a Action) Object() string {
	out := a.Resource
	if a.Group != "" {
		out += "." + a.Group
	}
	if a.Name != "" {
		out += "/" + a.Name
	}
	if a.Namespace != "" {
		out += " in namespace " + a.Namespace
	}
	return out
}

// May asks whether the caller may do something. The error says that this could not be found out.
func (c *Cluster) May(ctx context.Context, a Action) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: a.Verb, Group: a.Group, Resource: a.Resource, Namespace: a.Namespace, Name: a.Name},
	}}
	answer, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("asking whether you may %s %s: %w", a.Verb, a.Object(), err)
	}
	return answer.Status.Allowed, nil
}

// Need returns an error unless the caller may do something; what names the object that they wanted to work on. The error
// has the rule to ask for. It saves a prompt and says what is missing; what counts is what the API server allows in the end.
func (c *Cluster) Need(ctx context.Context, what string, a Action) error {
	may, err := c.May(ctx, a)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if may {
		return nil
	}
	who := "you"
	if user, err := c.WhoAmI(ctx); err == nil {
		who = user.Username
	}
	kind, place := "a ClusterRole and a ClusterRoleBinding", ""
	if a.Namespace != "" {
		kind, place = "a Role and a RoleBinding", " in namespace "+a.Namespace
	}
	return fmt.Errorf("%s: %s may not %s %s: ask for %s%s with the rule %s", what, who, a.Verb, a.Object(), kind, place, a.Rule())
}

// WhoAmI is who the API server takes the caller for.
func (c *Cluster) WhoAmI(ctx context.Context) (authenticationv1.UserInfo, error) {
	answer, err := c.Kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, fmt.Errorf("asking who you are: %w", err)
	}
	return answer.Status.UserInfo, nil
}
