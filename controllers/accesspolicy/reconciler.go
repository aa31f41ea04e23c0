package accesspolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/census"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// Reconciler reconciles AccessPolicies.
type Reconciler struct {
	cached client.Reader
}

// New returns the reconciler of AccessPolicies. The cache needs the index that census.Index makes.
func New(clients phase.Clients) *phase.Runner[*v1alpha1.AccessPolicy] {
	r := &Reconciler{cached: clients.Cached}
	return phase.NewRunner(phase.Kind[*v1alpha1.AccessPolicy]{
		GVK:    v1alpha1.GroupVersion.WithKind("AccessPolicy"),
		New:    func() *v1alpha1.AccessPolicy { return &v1alpha1.AccessPolicy{} },
		Status: status,
		Plan:   r.plan,
	}, clients)
}

func status(p *v1alpha1.AccessPolicy) phase.Status {
	return phase.Status{ObservedGeneration: &p.Status.ObservedGeneration, Conditions: &p.Status.Conditions}
}

// plan is what is found out about an AccessPolicy, in order.
func (r *Reconciler) plan(p *v1alpha1.AccessPolicy) phase.Plan[*v1alpha1.AccessPolicy] {
	v := &visit{Reconciler: r, policy: p}
	accepted := []string{v1alpha1.ConditionAccepted}
	resolved := []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs}
	return phase.Plan[*v1alpha1.AccessPolicy]{
		Steps: []phase.Step{
			{Name: "Accept", Condition: v1alpha1.ConditionAccepted, Run: v.accept},
			{Name: "Resolve", Condition: v1alpha1.ConditionResolvedRefs, Needs: accepted, Run: v.resolve},
			{Name: "Program", Condition: v1alpha1.ConditionProgrammed, Needs: resolved, Run: v.program},
			{Name: "Enforce", Condition: v1alpha1.ConditionEnforced, Needs: accepted, Run: v.enforce},
		},
		Facts: v.facts,
	}
}

// visit is one look at one AccessPolicy.
type visit struct {
	*Reconciler
	policy      *v1alpha1.AccessPolicy
	dataSources []v1alpha1.DataSource // those that exist
	tally       *census.Tally
}

func (v *visit) accept(context.Context) phase.Outcome {
	err := compile.Check(v.policy)
	var rego *compile.RegoError
	switch {
	case errors.As(err, &rego):
		return phase.False(v1alpha1.ReasonInvalidRego, "%s", v.located(err))
	case err != nil:
		return phase.False(v1alpha1.ReasonInvalid, "%s", v.located(err))
	}
	return phase.True(v1alpha1.ReasonAccepted, "the policy compiles")
}

// located leaves the policy's own name out of the compiler's lines: it is what the condition stands in.
func (v *visit) located(err error) string {
	prefix := fmt.Sprintf("AccessPolicy %s/%s: ", v.policy.Namespace, v.policy.Name)
	return strings.ReplaceAll(strings.ReplaceAll(err.Error(), prefix, ""), "\n", "; ")
}

func (v *visit) resolve(ctx context.Context) phase.Outcome {
	var missing []string
	for i, ref := range v.policy.Spec.DataSources {
		var ds v1alpha1.DataSource
		key := types.NamespacedName{Namespace: v.policy.Namespace, Name: string(ref.Name)}
		err := v.cached.Get(ctx, key, &ds)
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, fmt.Sprintf("spec.dataSources[%d]: DataSource %s does not exist: create it, or correct the name", i, key))
		case err != nil:
			return phase.Retry(fmt.Errorf("read DataSource %s: %w", key, err))
		default:
			v.dataSources = append(v.dataSources, ds)
		}
	}
	if missing != nil {
		return phase.False(v1alpha1.ReasonDataSourceNotFound, "%s", strings.Join(missing, "; "))
	}
	return phase.True(v1alpha1.ReasonResolved, "every DataSource exists")
}

// program says whether sidecars are given the policy: with a DataSource that cannot be served, they are not.
func (v *visit) program(context.Context) phase.Outcome {
	for i := range v.dataSources {
		ds := &v.dataSources[i]
		for _, need := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs} {
			c := meta.FindStatusCondition(ds.Status.Conditions, need)
			switch {
			case c == nil || c.ObservedGeneration != ds.Generation:
				return phase.Unknown(v1alpha1.ReasonPending, "waits for DataSource %s/%s, which has not been looked at yet", ds.Namespace, ds.Name)
			case c.Status != metav1.ConditionTrue:
				return phase.Unknown(v1alpha1.ReasonPending, "waits for DataSource %s/%s: %s is %s: %s", ds.Namespace, ds.Name, c.Type, c.Status, c.Message)
			}
		}
	}
	return phase.True(v1alpha1.ReasonProgrammed, "sidecars are given revision %d", v.policy.Generation)
}

// enforce asks the Sessions of the DataSources who has the policy. Concerned are the sidecars that it selects, and those
// that still have it although it no longer does.
func (v *visit) enforce(ctx context.Context) phase.Outcome {
	var tally census.Tally
	for _, ref := range v.policy.Spec.DataSources {
		sessions, err := census.Sessions(ctx, v.cached, v.policy.Namespace, string(ref.Name))
		if err != nil {
			return phase.Retry(err)
		}
		for i := range sessions {
			selected, err := v.selects(ctx, &sessions[i])
			if err != nil {
				return phase.Retry(err)
			}
			held := v.held(&sessions[i])
			if selected || held > 0 {
				tally.Add(&sessions[i], selected && held >= v.policy.Generation)
			}
		}
	}
	v.tally = &tally
	return tally.Outcome(v.policy.Generation)
}

// held is the generation of the policy that a sidecar acknowledged, or 0.
func (v *visit) held(session *v1alpha1.Session) int64 {
	for _, applied := range session.Status.Policies {
		if string(applied.Name) == v.policy.Name {
			return applied.Generation
		}
	}
	return 0
}

// selects reports whether the policy selects a Session's pod as it is now.
func (v *visit) selects(ctx context.Context, session *v1alpha1.Session) (bool, error) {
	var (
		pod       corev1.Pod
		namespace corev1.Namespace
	)
	key := types.NamespacedName{Namespace: session.Namespace, Name: string(session.Spec.Pod.Name)}
	if err := v.cached.Get(ctx, key, &pod); err != nil {
		return false, gone("Pod", key.String(), err)
	}
	if string(pod.UID) != session.Spec.Pod.UID {
		return false, nil
	}
	if err := v.cached.Get(ctx, types.NamespacedName{Name: session.Namespace}, &namespace); err != nil {
		return false, gone("Namespace", session.Namespace, err)
	}
	return compile.Selects(v.policy, compile.Subject{
		Namespace: session.Namespace, NamespaceLabels: namespace.Labels,
		ServiceAccount: string(session.Spec.ServiceAccount), PodLabels: pod.Labels,
	})
}

func gone(kind, name string, err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("read %s %s: %w", kind, name, err)
}

// facts writes what was counted; a count that could not be had again stays as it was.
func (v *visit) facts(p *v1alpha1.AccessPolicy) {
	p.Status.Subjects = int32(len(v.policy.Spec.Subjects))
	if v.tally == nil {
		p.Status.Enforcement = v.policy.Status.Enforcement
		return
	}
	p.Status.Enforcement = &v1alpha1.Enforcement{
		Revision: v.policy.Generation,
		Sidecars: int32(v.tally.Sidecars), Enforcing: int32(v.tally.Enforcing), Summary: v.tally.Summary(),
	}
}
