package datasource

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	ctrlbuilder "sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/census"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// Reconciler reconciles DataSources.
type Reconciler struct {
	cached  client.Reader
	secrets Secrets
	looks   *looks
}

// New returns the reconciler of DataSources. The cache needs the index that census.Index makes.
func New(clients phase.Clients, secrets Secrets) *phase.Runner[*v1alpha1.DataSource] {
	r := &Reconciler{cached: clients.Cached, secrets: secrets, looks: newLooks(clients.Now)}
	return phase.NewRunner(phase.Kind[*v1alpha1.DataSource]{
		GVK:    v1alpha1.GroupVersion.WithKind("DataSource"),
		New:    func() *v1alpha1.DataSource { return &v1alpha1.DataSource{} },
		Status: status,
		Plan:   r.plan,
		Forget: func(key types.NamespacedName) {
			secrets.Forget(key)
			r.looks.forget(key)
		},
	}, clients)
}

// workers is how many DataSources are looked at at a time. A database that does not answer keeps one for as long as a probe
// may take, and must not keep the others waiting.
const workers = 16

// waiting bounds the changes of Secrets that have not been taken up yet. One that finds no room is found by the next look.
const waiting = 1024

// SetUp runs the reconciler in a manager, on the leader.
func SetUp(mgr manager.Manager, clients phase.Clients, secrets *credential.Store) error {
	changed := make(chan event.TypedGenericEvent[credential.Ref], waiting)
	secrets.OnChange(func(ref credential.Ref) {
		select {
		case changed <- event.TypedGenericEvent[credential.Ref]{Object: ref}:
		default:
		}
	})
	ofSecret := handler.TypedEnqueueRequestsFromMapFunc(namers(clients.Cached))
	err := ctrlbuilder.ControllerManagedBy(mgr).Named("datasource").For(&v1alpha1.DataSource{}).
		Watches(&v1alpha1.AccessPolicy{}, handler.EnqueueRequestsFromMapFunc(ofPolicy)).
		Watches(&v1alpha1.Session{}, handler.EnqueueRequestsFromMapFunc(ofSession), ctrlbuilder.WithPredicates(census.Changed())).
		WatchesRawSource(source.TypedChannel(changed, ofSecret)).
		WithOptions(phase.Options(workers)).Complete(New(clients, secrets))
	if err != nil {
		return fmt.Errorf("controller of DataSources: %w", err)
	}
	return nil
}

func status(ds *v1alpha1.DataSource) phase.Status {
	return phase.Status{ObservedGeneration: &ds.Status.ObservedGeneration, Conditions: &ds.Status.Conditions}
}

// plan is what is found out about a DataSource, in order.
func (r *Reconciler) plan(ds *v1alpha1.DataSource) phase.Plan[*v1alpha1.DataSource] {
	v := &visit{Reconciler: r, ds: ds}
	accepted := []string{v1alpha1.ConditionAccepted}
	resolved := []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs}
	return phase.Plan[*v1alpha1.DataSource]{
		Steps: []phase.Step{
			{Name: "Accept", Condition: v1alpha1.ConditionAccepted, Run: v.accept},
			{Name: "Resolve", Condition: v1alpha1.ConditionResolvedRefs, Needs: accepted, Run: v.resolve},
			{Name: "Probe", Condition: v1alpha1.ConditionReachable, Needs: resolved, Run: v.probe},
			{Name: "Program", Condition: v1alpha1.ConditionProgrammed, Needs: resolved, Run: v.program},
			{Name: "Enforce", Condition: v1alpha1.ConditionEnforced, Needs: accepted, Run: v.enforce},
		},
		Facts: v.facts,
	}
}

// visit is one look at one DataSource; what a step finds, later steps use.
type visit struct {
	*Reconciler
	ds         *v1alpha1.DataSource
	material   credential.Material
	versions   string // of the Secrets
	classified *int32
}

func (v *visit) accept(context.Context) phase.Outcome {
	spec := &v.ds.Spec
	if spec.Protocol != v1alpha1.ProtocolPostgres || spec.Postgres == nil {
		return phase.False(v1alpha1.ReasonInvalid, "spec.protocol: %q is not served: set it to postgres, with spec.postgres", spec.Protocol)
	}
	switch spec.Postgres.TLS.Mode {
	case v1alpha1.TLSDisable, v1alpha1.TLSRequire, v1alpha1.TLSVerifyCA, v1alpha1.TLSVerifyFull:
	default:
		return phase.False(v1alpha1.ReasonInvalid, "spec.postgres.tls.mode: %q is not known: set it to verify-full", spec.Postgres.TLS.Mode)
	}
	if _, err := compile.Attached(v.ds, compile.Subject{}); err != nil {
		return phase.False(v1alpha1.ReasonInvalid, "%s", err.Error())
	}
	return phase.True(v1alpha1.ReasonAccepted, "the spec is understood")
}

// program says whether sidecars can be given the DataSource with all its policies. A policy that does not compile stops
// new revisions for the workloads that it selects, so the data's owner must see it here as well.
func (v *visit) program(ctx context.Context) phase.Outcome {
	var policies v1alpha1.AccessPolicyList
	if err := v.cached.List(ctx, &policies, client.InNamespace(v.ds.Namespace)); err != nil {
		return phase.Retry(fmt.Errorf("list AccessPolicies: %w", err))
	}
	count := 0
	for i := range policies.Items {
		p := &policies.Items[i]
		if !speaksOf(p, v.ds.Name) {
			continue
		}
		count++
		if err := compile.Check(p); err != nil {
			return phase.False(v1alpha1.ReasonInvalid,
				"AccessPolicy %s/%s does not compile, and workloads that it selects keep the revision before: see its condition Accepted", p.Namespace, p.Name)
		}
	}
	switch count {
	case 0:
		return phase.True(v1alpha1.ReasonProgrammed, "no AccessPolicy speaks of it, so every statement is denied")
	case 1:
		return phase.True(v1alpha1.ReasonProgrammed, "sidecars are given it with 1 AccessPolicy")
	}
	return phase.True(v1alpha1.ReasonProgrammed, "sidecars are given it with %d AccessPolicies", count)
}

func speaksOf(p *v1alpha1.AccessPolicy, name string) bool {
	return slices.ContainsFunc(p.Spec.DataSources, func(ref v1alpha1.DataSourceReference) bool { return string(ref.Name) == name })
}

func (v *visit) enforce(ctx context.Context) phase.Outcome {
	sessions, err := census.Sessions(ctx, v.cached, v.ds.Namespace, v.ds.Name)
	if err != nil {
		return phase.Retry(err)
	}
	var tally census.Tally
	for i := range sessions {
		tally.Add(&sessions[i], sessions[i].Status.DataSourceGeneration >= v.ds.Generation)
	}
	return tally.Outcome(v.ds.Generation)
}

// facts writes what the probe counted; what could not be counted again stays as it was.
func (v *visit) facts(ds *v1alpha1.DataSource) {
	if v.classified == nil {
		ds.Status.Classified = v.ds.Status.Classified
		return
	}
	noun := "columns"
	if *v.classified == 1 {
		noun = "column"
	}
	ds.Status.Classified = &v1alpha1.ClassifiedColumns{Columns: *v.classified, Summary: fmt.Sprintf("%d %s", *v.classified, noun)}
}

// namers finds the DataSources that name a Secret.
func namers(cached client.Reader) func(context.Context, credential.Ref) []reconcile.Request {
	return func(ctx context.Context, ref credential.Ref) []reconcile.Request {
		var list v1alpha1.DataSourceList
		if err := cached.List(ctx, &list, client.InNamespace(ref.Namespace)); err != nil {
			log.FromContext(ctx).Error(err, "list DataSources", "namespace", ref.Namespace)
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			if slices.Contains(credential.Refs(&list.Items[i]), ref) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
		return requests
	}
}

func ofPolicy(_ context.Context, obj client.Object) []reconcile.Request {
	policy, ok := obj.(*v1alpha1.AccessPolicy)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	for _, ref := range policy.Spec.DataSources {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: policy.Namespace, Name: string(ref.Name)}})
	}
	return requests
}

func ofSession(_ context.Context, obj client.Object) []reconcile.Request {
	session, ok := obj.(*v1alpha1.Session)
	if !ok {
		return nil
	}
	ref := session.Spec.DataSource
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: ref.Namespace, Name: string(ref.Name)}}}
}
