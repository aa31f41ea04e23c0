package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/finding"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// What an installation calls the operator's Deployment and the Lease of its leader.
const (
	deployment = "tidewaiter-operator"
	lease      = "tidewaiter-operator"
)

// operator looks at the Deployment and at who leads.
func (d *Doctor) operator(ctx context.Context, s *Section) {
	o := &appsv1.Deployment{}
	about := "Deployment " + d.Namespace + "/" + deployment
	logs := fmt.Sprintf("kubectl describe deployment -n %s %s; kubectl logs -n %s deployment/%s", d.Namespace, deployment, d.Namespace, deployment)
	err := d.Cluster.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: deployment}, o)
	switch {
	case cluster.Gone(err):
		s.add(finding.Fail, about, "is not there", "install it, or say where it is with --operator-namespace; "+install)
		return
	case err != nil:
		s.unread(about, err, "get", "deployments.apps")
		return
	}
	wanted := int32(1)
	if o.Spec.Replicas != nil {
		wanted = *o.Spec.Replicas
	}
	ready := fmt.Sprintf("%d of %d replicas are ready", o.Status.ReadyReplicas, wanted)
	switch {
	case o.Status.ReadyReplicas == 0:
		s.add(finding.Fail, about, ready+": pods that ask for injection are not created, and sidecars refuse new connections", logs)
	case o.Status.ReadyReplicas < wanted:
		s.add(finding.Warn, about, ready, logs)
	case wanted == 1:
		s.add(finding.Warn, about, "1 replica: while it restarts no pod that asks for injection is created", "two replicas need no more than spec.replicas: 2 with shared recordings; see docs/install.md")
	default:
		s.ok(about, ready)
	}
	d.leader(ctx, s, wanted)
}

func (d *Doctor) leader(ctx context.Context, s *Section, replicas int32) {
	o := &coordinationv1.Lease{}
	about := "Lease " + d.Namespace + "/" + lease
	err := d.Cluster.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: lease}, o)
	switch {
	case cluster.Gone(err) && replicas == 1:
		return // --one-replica needs no leader
	case cluster.Gone(err):
		s.add(finding.Fail, about, "is not there: no replica leads, so no status is written", fmt.Sprintf("kubectl logs -n %s deployment/%s", d.Namespace, deployment))
		return
	case err != nil:
		s.unread(about, err, "get", "leases.coordination.k8s.io")
		return
	}
	holder, seconds := "", int32(15)
	if o.Spec.HolderIdentity != nil {
		holder = *o.Spec.HolderIdentity
	}
	if o.Spec.LeaseDurationSeconds != nil {
		seconds = *o.Spec.LeaseDurationSeconds
	}
	since := time.Duration(-1)
	if o.Spec.RenewTime != nil {
		since = d.Now().Sub(o.Spec.RenewTime.Time)
	}
	switch {
	case holder == "" || since < 0 && o.Spec.RenewTime == nil:
		s.add(finding.Fail, about, "nobody holds it: no status is written", fmt.Sprintf("kubectl logs -n %s deployment/%s", d.Namespace, deployment))
	case since > 2*time.Duration(seconds)*time.Second:
		s.add(finding.Fail, about, fmt.Sprintf("%s last renewed it %s ago: no status is written", holder, table.Span(since)), fmt.Sprintf("kubectl logs -n %s deployment/%s", d.Namespace, deployment))
	default:
		s.ok(about, "held by "+holder)
	}
}

// maxPods of a namespace that are looked at.
const maxPods = 2000

// namespaces looks at those that are opted in, and at pods in them that ask for a sidecar and have none.
func (d *Doctor) namespaces(ctx context.Context, s *Section) {
	list := &corev1.NamespaceList{}
	var names []string
	err := d.Cluster.List(ctx, list, func() {
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
	}, client.MatchingLabels{injection.NamespaceLabel: injection.NamespaceEnabled})
	if err != nil {
		s.unread("namespaces", err, "list", "namespaces")
		return
	}
	if len(names) == 0 {
		s.add(finding.Warn, "namespaces", "none is labeled "+injection.NamespaceLabel+"="+injection.NamespaceEnabled+", so no pod is injected",
			fmt.Sprintf("kubectl label namespace NAME %s=%s", injection.NamespaceLabel, injection.NamespaceEnabled))
		return
	}
	s.ok("namespaces", fmt.Sprintf("%d labeled %s=%s", len(names), injection.NamespaceLabel, injection.NamespaceEnabled))
	for _, name := range names {
		d.pods(ctx, s, name)
	}
}

// pods reads metadata alone: annotations and labels say what there is to know.
func (d *Doctor) pods(ctx context.Context, s *Section, namespace string) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := d.Cluster.WithWatch.List(ctx, list, client.InNamespace(namespace), client.Limit(maxPods))
	if err != nil {
		s.unread("pods of namespace "+namespace, err, "list", "pods")
		return
	}
	var without []string
	injected := 0
	for i := range list.Items {
		switch p := &list.Items[i]; {
		case p.Labels[injection.InjectedLabel] == injection.Injected:
			injected++
		case p.Annotations[injection.Annotation] != "":
			without = append(without, p.Name)
		}
	}
	if list.Continue != "" {
		s.add(finding.Warn, "namespace "+namespace, fmt.Sprintf("has more than %s pods, and the others were not looked at", table.Number(maxPods)), "")
	}
	if len(without) > 0 {
		s.add(finding.Fail, "namespace "+namespace, fmt.Sprintf("%s asking for a sidecar without having one: %s", table.Count(int64(len(without)), "pod"), some(without)),
			"delete them and let their controllers create them again; kubectl tidewaiter status -n "+namespace+" "+without[0])
		return
	}
	s.ok("namespace "+namespace, table.Count(int64(injected), "injected pod"))
}

// some names the first few.
func some(all []string) string {
	const most = 3
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

// data looks at what the operator says of every DataSource and AccessPolicy.
func (d *Doctor) data(ctx context.Context, s *Section) {
	sources, list := 0, &v1alpha1.DataSourceList{}
	err := d.Cluster.List(ctx, list, func() {
		for i := range list.Items {
			o := &list.Items[i]
			s.conditions("DataSource", o, o.Status.Conditions)
			sources++
		}
	})
	switch {
	case err != nil && !cluster.Unknown(err):
		s.unread("DataSources", err, "list", "datasources."+v1alpha1.Group)
	case err == nil && sources == 0:
		s.add(finding.Warn, "DataSources", "there are none", "see docs/policy.md")
	}
	policies := &v1alpha1.AccessPolicyList{}
	err = d.Cluster.List(ctx, policies, func() {
		for i := range policies.Items {
			o := &policies.Items[i]
			s.conditions("AccessPolicy", o, o.Status.Conditions)
		}
	})
	if err != nil && !cluster.Unknown(err) {
		s.unread("AccessPolicies", err, "list", "accesspolicies."+v1alpha1.Group)
	}
}

// conditions notes what is not True, the most telling first: whether Secrets may be read, then what stands behind Ready.
func (s *Section) conditions(kind string, o client.Object, all []metav1.Condition) {
	about := kind + " " + o.GetNamespace() + "/" + o.GetName()
	describe := fmt.Sprintf("kubectl describe %s -n %s %s", strings.ToLower(kind), o.GetNamespace(), o.GetName())
	ready := meta.FindStatusCondition(all, v1alpha1.ConditionReady)
	refs := meta.FindStatusCondition(all, v1alpha1.ConditionResolvedRefs)
	governed := meta.FindStatusCondition(all, v1alpha1.ConditionGoverned)
	if governed != nil && governed.Status == metav1.ConditionFalse {
		s.add(finding.Fail, about, "a program without a sidecar reaches it: "+governed.Message, "close the way around with a NetworkPolicy or the database's pg_hba.conf")
	}
	switch {
	case ready == nil:
		s.add(finding.Warn, about, "no operator has looked at it", "see the operator above")
	case refs != nil && refs.Status == metav1.ConditionFalse && refs.Reason == v1alpha1.ReasonSecretForbidden:
		s.add(finding.Fail, about, refs.Message, "let the operator read that Secret, by name, as config/samples/access/secrets.yaml does")
	case refs != nil && refs.Status == metav1.ConditionFalse:
		s.add(finding.Fail, about, refs.Reason+": "+refs.Message, describe)
	case ready.Status != metav1.ConditionTrue:
		s.add(finding.Fail, about, "not ready: "+ready.Message, describe)
	default:
		s.ok(about, "ready")
	}
}

// caller says what whoever asks may do. Nobody has to be able to do all of it.
func (d *Doctor) caller(ctx context.Context, s *Section) {
	me, err := d.Cluster.WhoAmI(ctx)
	if err != nil {
		s.unread("you", err, "create", "selfsubjectreviews.authentication.k8s.io")
		return
	}
	in := d.Cluster.Namespace
	for _, a := range []struct {
		what string
		need []cluster.Action
	}{
		{"read sessions", []cluster.Action{cluster.Ours("list", "sessions", in, "")}},
		{"read DataSources and policies", []cluster.Action{cluster.Ours("list", "datasources", in, ""), cluster.Ours("list", "accesspolicies", in, "")}},
		{"read requests", []cluster.Action{cluster.Ours("list", "accessrequests", in, "")}},
		{"ask for access", []cluster.Action{cluster.Ours("create", "accessrequests", in, "")}},
		{"answer requests", []cluster.Action{cluster.Ours("get", "accessrequests", in, ""), cluster.Ours("create", "accessdecisions", in, ""), cluster.Ours(v1alpha1.VerbApprove, "accesspolicies", in, "")}},
		{"break the glass", []cluster.Action{cluster.Ours("create", "accessdecisions", in, ""), cluster.Ours(v1alpha1.VerbBreakGlass, "accesspolicies", in, "")}},
	} {
		d.may(ctx, s, me.Username, a.what, a.need)
	}
}

func (d *Doctor) may(ctx context.Context, s *Section, user, what string, need []cluster.Action) {
	var missing []string
	for _, a := range need {
		may, err := d.Cluster.May(ctx, a)
		if err != nil {
			s.unread(user, err, "create", "selfsubjectaccessreviews.authorization.k8s.io")
			return
		}
		if !may {
			missing = append(missing, a.Rule())
		}
	}
	if len(missing) > 0 {
		s.ok(user, "may not "+what+" in namespace "+d.Cluster.Namespace+", which takes "+strings.Join(missing, ", "))
		return
	}
	s.ok(user, "may "+what+" in namespace "+d.Cluster.Namespace)
}
