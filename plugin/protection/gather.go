package protection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/plugin/approval"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// lately is how old a warning may be.
const lately = time.Hour

// maxWarnings that a report has.
const maxWarnings = 5

// Pods finds the pods of POD, pod/NAME, deployment/NAME, statefulset/NAME, daemonset/NAME, replicaset/NAME or job/NAME; finished ones
// only where they are named.
func Pods(ctx context.Context, c *cluster.Cluster, namespace, target string) ([]corev1.Pod, error) {
	kind, name, slash := strings.Cut(target, "/")
	if !slash {
		kind, name = "pod", target
	}
	what := kind + " " + namespace + "/" + name
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if slices.Contains([]string{"pod", "pods", "po"}, kind) {
		pod := &corev1.Pod{}
		if err := c.Get(ctx, key, pod); err != nil {
			return nil, cluster.Explain(err, what, "get", "pods")
		}
		return []corev1.Pod{*pod}, nil
	}
	selector, err := selectorOf(ctx, c, kind, key)
	if err != nil {
		return nil, err
	}
	chosen, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, fmt.Errorf("%s: spec.selector: %w", what, err)
	}
	var out []corev1.Pod
	list := &corev1.PodList{}
	err = c.List(ctx, list, func() {
		for i := range list.Items {
			if p := &list.Items[i]; p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
				out = append(out, *p.DeepCopy())
			}
		}
	}, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: chosen})
	if err != nil {
		return nil, cluster.Explain(err, what, "list", "pods")
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no pods that run: kubectl describe %s -n %s %s", what, kind, namespace, name)
	}
	return out, nil
}

func selectorOf(ctx context.Context, c *cluster.Cluster, kind string, key client.ObjectKey) (*metav1.LabelSelector, error) {
	var obj client.Object
	var selector func() *metav1.LabelSelector
	var resource string
	switch kind {
	case "deployment", "deployments", "deploy":
		o := &appsv1.Deployment{}
		obj, selector, resource = o, func() *metav1.LabelSelector { return o.Spec.Selector }, "deployments.apps"
	case "statefulset", "statefulsets", "sts":
		o := &appsv1.StatefulSet{}
		obj, selector, resource = o, func() *metav1.LabelSelector { return o.Spec.Selector }, "statefulsets.apps"
	case "daemonset", "daemonsets", "ds":
		o := &appsv1.DaemonSet{}
		obj, selector, resource = o, func() *metav1.LabelSelector { return o.Spec.Selector }, "daemonsets.apps"
	case "replicaset", "replicasets", "rs":
		o := &appsv1.ReplicaSet{}
		obj, selector, resource = o, func() *metav1.LabelSelector { return o.Spec.Selector }, "replicasets.apps"
	case "job", "jobs":
		o := &batchv1.Job{}
		obj, selector, resource = o, func() *metav1.LabelSelector { return o.Spec.Selector }, "jobs.batch"
	default:
		return nil, fmt.Errorf("%s/%s: write POD, deployment/NAME, statefulset/NAME, daemonset/NAME, replicaset/NAME or job/NAME", kind, key.Name)
	}
	if err := c.Get(ctx, key, obj); err != nil {
		return nil, cluster.Explain(err, kind+" "+key.String(), "get", resource)
	}
	return selector(), nil
}

// Look reads what there is to know about a pod and judges it. What may not be read is said in the report.
func Look(ctx context.Context, c *cluster.Cluster, pod *corev1.Pod, now time.Time) (*Report, error) {
	f := &Facts{Pod: pod, DataSources: map[string]Read[*v1alpha1.DataSource]{}, Policies: map[string]Read[[]v1alpha1.AccessPolicy]{}}
	ns := &corev1.Namespace{}
	if err := c.Get(ctx, client.ObjectKey{Name: pod.Namespace}, ns); err != nil {
		f.NamespaceProblem = err.Error()
	}
	f.NamespaceLabels = ns.Labels
	list := &v1alpha1.SessionList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			if s := &list.Items[i]; s.Spec.Pod.UID == string(pod.UID) {
				f.Sessions = append(f.Sessions, *s.DeepCopy())
			}
		}
	}, client.InNamespace(pod.Namespace), client.MatchingFields{"spec.pod.name": pod.Name})
	if err != nil {
		return nil, cluster.Explain(err, "Sessions of pod "+pod.Namespace+"/"+pod.Name, "list", "sessions."+v1alpha1.Group)
	}
	for _, name := range attachedTo(pod) {
		readDataSource(ctx, c, f, name)
	}
	r := Judge(f)
	for namespace := range f.Policies {
		r.waiting(ctx, c, pod, namespace)
	}
	r.warnings(ctx, c, f, now)
	return r, nil
}

func attachedTo(pod *corev1.Pod) []string {
	status, err := injection.ParseStatus(pod.Annotations[injection.StatusAnnotation])
	if err != nil {
		return nil // which Judge says
	}
	return status.DataSources
}

func readDataSource(ctx context.Context, c *cluster.Cluster, f *Facts, full string) {
	namespace, name, _ := strings.Cut(full, "/")
	ds := &v1alpha1.DataSource{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, ds); err != nil {
		f.DataSources[full] = Read[*v1alpha1.DataSource]{Problem: err.Error()}
	} else {
		f.DataSources[full] = Read[*v1alpha1.DataSource]{Value: ds}
	}
	if _, known := f.Policies[namespace]; known {
		return
	}
	var read Read[[]v1alpha1.AccessPolicy]
	list := &v1alpha1.AccessPolicyList{}
	err := c.List(ctx, list, func() {
		for i := range list.Items {
			read.Value = append(read.Value, *list.Items[i].DeepCopy())
		}
	}, client.InNamespace(namespace))
	if err != nil {
		read.Problem = err.Error()
	}
	f.Policies[namespace] = read
}

// waiting notes the pod's open requests.
func (r *Report) waiting(ctx context.Context, c *cluster.Cluster, pod *corev1.Pod, namespace string) {
	list := &v1alpha1.AccessRequestList{}
	_ = c.List(ctx, list, func() { // who may not read the data's namespace is told so by the policies already
		for i := range list.Items {
			q := &list.Items[i]
			who := q.Spec.Requester
			if !approval.Open(q) || who.Namespace != pod.Namespace || string(who.ServiceAccount) != account(pod) || who.Pod != nil && who.Pod.UID != string(pod.UID) {
				continue
			}
			r.Requests = append(r.Requests, Waiting{q.Namespace, q.Name, approval.Summary(q), q.Spec.ExpiresAt.UTC().Format(time.RFC3339)})
		}
	}, client.InNamespace(namespace), client.MatchingFields{"spec.requester.serviceAccount": account(pod)})
}

// warnings notes the latest events of the pod and its Sessions.
func (r *Report) warnings(ctx context.Context, c *cluster.Cluster, f *Facts, now time.Time) {
	uids := []string{string(f.Pod.UID)}
	for i := range f.Sessions {
		uids = append(uids, string(f.Sessions[i].UID))
	}
	var all []corev1.Event
	for _, uid := range uids {
		list := &corev1.EventList{}
		_ = c.List(ctx, list, func() { all = append(all, list.DeepCopy().Items...) }, // without events there is less to see, and nothing wrong
			client.InNamespace(f.Pod.Namespace), client.MatchingFields{"involvedObject.uid": uid, "type": corev1.EventTypeWarning})
	}
	all = slices.DeleteFunc(all, func(e corev1.Event) bool { return now.Sub(last(&e)) > lately })
	slices.SortFunc(all, func(a, b corev1.Event) int { return last(&b).Compare(last(&a)) })
	for _, e := range all[:min(len(all), maxWarnings)] {
		r.Warnings = append(r.Warnings, Warning{last(&e).UTC().Format(time.RFC3339), e.Reason, table.Line(e.Message)})
	}
}

// last is when an event happened last: events.k8s.io and the older API keep it in different fields.
func last(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}
