package protection

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/plugin/finding"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Facts are what was read about a pod.
type Facts struct {
	// Pod itself.
	Pod *corev1.Pod
	// NamespaceLabels of its namespace; NamespaceProblem says why they could not be read.
	NamespaceLabels map[string]string
	// NamespaceProblem is empty where the labels are known.
	NamespaceProblem string
	// Sessions of the pod, by its UID.
	Sessions []v1alpha1.Session
	// DataSources by namespace/name.
	DataSources map[string]Read[*v1alpha1.DataSource]
	// Policies of the DataSources' namespaces, by namespace.
	Policies map[string]Read[[]v1alpha1.AccessPolicy]
}

// Read is what was read, or why it was not.
type Read[T any] struct {
	// Value that was read.
	Value T
	// Problem says why it was not.
	Problem string
}

// Judge says of each thing how it stands, and whether the pod is protected.
func Judge(f *Facts) *Report {
	r := &Report{Namespace: f.Pod.Namespace, Pod: f.Pod.Name, Uses: []Use{}, Requests: []Waiting{}, Warnings: []Warning{}}
	for _, name := range r.injected(f) {
		r.uses(f, name)
	}
	r.conclude()
	return r
}

const recreate = "delete the pod and let its controller create it again"

// injected judges the pod by itself and returns the data sources that it attaches to.
func (r *Report) injected(f *Facts) []string {
	pod := f.Pod
	asks, text := pod.Annotations[injection.Annotation], pod.Annotations[injection.StatusAnnotation]
	enabled := f.NamespaceLabels[injection.NamespaceLabel] == injection.NamespaceEnabled
	label := fmt.Sprintf("kubectl label namespace %s %s=%s", pod.Namespace, injection.NamespaceLabel, injection.NamespaceEnabled)
	switch {
	case asks == "" && text == "":
		r.add(finding.Fail, "pod", "it asks for no data source, so it has no sidecar", fmt.Sprintf("annotate its template with %s: NAMESPACE/DATASOURCE, in a namespace labeled %s=%s",
			injection.Annotation, injection.NamespaceLabel, injection.NamespaceEnabled))
		return nil
	case f.NamespaceProblem != "":
		r.add(finding.Warn, "namespace "+pod.Namespace, "its labels could not be read: "+f.NamespaceProblem, "ask for get on namespaces")
	case !enabled && text == "":
		r.add(finding.Fail, "pod", fmt.Sprintf("it has no sidecar: namespace %s is not labeled %s=%s", pod.Namespace, injection.NamespaceLabel, injection.NamespaceEnabled), label+"; then "+recreate)
		return nil
	case !enabled:
		r.add(finding.Fail, "namespace "+pod.Namespace, fmt.Sprintf("namespace %s is no longer labeled %s=%s: the operator serves no sidecar there", pod.Namespace, injection.NamespaceLabel, injection.NamespaceEnabled), label)
	}
	if pod.Labels[injection.InjectedLabel] != injection.Injected || text == "" {
		r.add(finding.Fail, "pod", "it asks for "+table.Line(asks)+" and has no sidecar: it was created while no webhook looked", recreate+"; kubectl tidewaiter doctor says what the webhook does")
		return nil
	}
	status, err := injection.ParseStatus(text)
	if err != nil {
		r.add(finding.Fail, "pod", "what injection wrote was changed: annotation "+injection.StatusAnnotation+": "+err.Error(), recreate)
		return nil
	}
	r.container(pod, status)
	return status.DataSources
}

// container looks for the sidecar that the status speaks of, and whether it runs.
func (r *Report) container(pod *corev1.Pod, status *injection.Status) {
	containers, statuses, how := pod.Spec.InitContainers, pod.Status.InitContainerStatuses, "as a native sidecar"
	if status.Sidecar != injection.ModeNative {
		containers, statuses, how = pod.Spec.Containers, pod.Status.ContainerStatuses, "as an ordinary container: init containers do not reach data sources"
	}
	i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == injection.ContainerName })
	if i < 0 {
		r.add(finding.Fail, "pod", "container "+injection.ContainerName+" is not there, although the pod says that it was injected", recreate)
		return
	}
	j := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == injection.ContainerName })
	logs := fmt.Sprintf("kubectl logs -n %s %s -c %s", pod.Namespace, pod.Name, injection.ContainerName)
	switch {
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		r.add(finding.Warn, "pod", "it has finished ("+string(pod.Status.Phase)+")", "")
	case j >= 0 && statuses[j].State.Waiting != nil && statuses[j].RestartCount > 0:
		r.add(finding.Warn, "sidecar", fmt.Sprintf("restarted %s and not running: %s", table.Count(int64(statuses[j].RestartCount), "time"), statuses[j].State.Waiting.Reason), logs+" --previous")
	case j >= 0 && !statuses[j].Ready && pod.Status.Phase == corev1.PodRunning:
		r.add(finding.Warn, "sidecar", "not ready", logs)
	default:
		r.add(finding.OK, "sidecar", "injected "+how, "")
	}
}

// uses judges one attachment.
func (r *Report) uses(f *Facts, name string) {
	use := Use{DataSource: name, Policies: []string{}}
	var session *v1alpha1.Session
	for i := range f.Sessions {
		if s := &f.Sessions[i]; s.Spec.DataSource.Namespace+"/"+string(s.Spec.DataSource.Name) == name {
			session = s
		}
	}
	if session != nil {
		use.Session, use.State, use.Status = session.Name, session.Status.State, &session.Status
	}
	r.session(f.Pod, name, session)
	ds := f.DataSources[name]
	switch {
	case ds.Problem != "":
		r.add(finding.Warn, "DataSource "+name, "could not be read: "+ds.Problem, "ask its owner how it is")
	case ds.Value != nil:
		r.dataSource(name, ds.Value)
	}
	use.Policies = r.policies(f, name, ds.Value, session)
	r.Uses = append(r.Uses, use)
}

func (r *Report) session(pod *corev1.Pod, name string, s *v1alpha1.Session) {
	about, logs := "Session for "+name, fmt.Sprintf("kubectl logs -n %s %s -c %s", pod.Namespace, pod.Name, injection.ContainerName)
	if s == nil {
		why := "the operator knows no sidecar of this pod for " + name
		if pod.Status.Phase == corev1.PodPending {
			why += " yet: the pod is pending"
		}
		r.add(finding.Fail, about, why, logs+"; kubectl tidewaiter doctor")
		return
	}
	about = "Session " + s.Namespace + "/" + s.Name
	switch s.Status.State {
	case v1alpha1.SessionActive, v1alpha1.SessionIdle:
		if x := s.Status.Rejection; x != nil {
			r.add(finding.Warn, about, fmt.Sprintf("the sidecar refused revision %d and goes on by %d: %s: %s", x.Revision, s.Status.Revision, x.Reason, x.Message), "ask the owner of DataSource "+name)
		} else if s.Status.Revision == 0 {
			r.add(finding.Warn, about, "the sidecar has no policy yet, and serves nothing", logs)
		} else {
			r.add(finding.OK, about, fmt.Sprintf("%s, revision %d", s.Status.State, s.Status.Revision), "")
		}
	case v1alpha1.SessionRevoked:
		r.add(finding.Fail, about, "the operator has cut it off from "+name+": "+orSilent(s.Status.Message), "ask the owner of DataSource "+name)
	case v1alpha1.SessionEnded:
		r.add(finding.Warn, about, "ended: the pod is gone or has finished", "")
	default:
		r.add(finding.Fail, about, "the operator has lost the sidecar of "+name+": "+orSilent(s.Status.Message), logs)
	}
	if n := s.Status.Alarms; n > 0 {
		r.add(finding.Warn, about, table.Count(n, "result")+" dropped because the database attested a classified column that the statement did not show", "each deserves a look: "+logs)
	}
}

func orSilent(text string) string {
	if text == "" {
		return "it does not say why"
	}
	return text
}

// dataSource judges what its owner's operator says of it.
func (r *Report) dataSource(name string, ds *v1alpha1.DataSource) {
	about := "DataSource " + name
	if c := meta.FindStatusCondition(ds.Status.Conditions, v1alpha1.ConditionGoverned); c != nil && c.Status == metav1.ConditionFalse {
		r.add(finding.Fail, about, "a program without a sidecar reaches "+name+": "+c.Message, "close the way around with a NetworkPolicy or the database's pg_hba.conf")
	}
	switch c := meta.FindStatusCondition(ds.Status.Conditions, v1alpha1.ConditionReady); {
	case c == nil:
		r.add(finding.Warn, about, "no operator has looked at it yet", "kubectl tidewaiter doctor")
	case c.Status != metav1.ConditionTrue:
		r.add(finding.Warn, about, "not ready: "+c.Message, "kubectl describe datasource -n "+ds.Namespace+" "+ds.Name)
	default:
		r.add(finding.OK, about, "ready", "")
	}
}

// policies judges whether the sidecar has what the policies want. What selects the pod is found from the policies where they may
// be read, and else from the Session.
func (r *Report) policies(f *Facts, name string, ds *v1alpha1.DataSource, s *v1alpha1.Session) []string {
	out := []string{}
	namespace, dsName, _ := strings.Cut(name, "/")
	read := f.Policies[namespace]
	if read.Problem != "" || ds == nil || f.NamespaceProblem != "" {
		if read.Problem != "" {
			r.add(finding.Warn, "policies of "+name, "could not be read: "+read.Problem, "ask the owner of DataSource "+name)
		}
		if s != nil {
			for _, p := range s.Status.Policies {
				out = append(out, fmt.Sprintf("%s, generation %d", p.Name, p.Generation))
			}
		}
		return out
	}
	subject := compile.Subject{Namespace: f.Pod.Namespace, ServiceAccount: account(f.Pod), NamespaceLabels: f.NamespaceLabels, PodLabels: f.Pod.Labels}
	if attached, err := compile.Attached(ds, subject); err != nil || !attached {
		r.add(finding.Fail, "DataSource "+name, "it lets no pod of namespace "+f.Pod.Namespace+" attach", "ask its owner: spec.allowedNamespaces")
	}
	for i := range read.Value {
		p := &read.Value[i]
		if !slices.ContainsFunc(p.Spec.DataSources, func(d v1alpha1.DataSourceReference) bool { return string(d.Name) == dsName }) {
			continue
		}
		selects, err := compile.Selects(p, subject)
		if err != nil {
			r.add(finding.Warn, "AccessPolicy "+p.Namespace+"/"+p.Name, "whom it selects cannot be read: "+err.Error(), "correct its spec.subjects")
		}
		if err != nil || !selects {
			continue
		}
		out = append(out, r.policy(p, s))
	}
	if len(out) == 0 {
		r.add(finding.Warn, "policies of "+name, "none selects this pod, so everything is denied", "ask the owner of DataSource "+name+" for an AccessPolicy")
	}
	return out
}

func account(pod *corev1.Pod) string {
	if pod.Spec.ServiceAccountName == "" {
		return "default"
	}
	return pod.Spec.ServiceAccountName
}

func (r *Report) policy(p *v1alpha1.AccessPolicy, s *v1alpha1.Session) string {
	about := "AccessPolicy " + p.Namespace + "/" + p.Name
	has := int64(0)
	if s != nil {
		for _, sp := range s.Status.Policies {
			if string(sp.Name) == p.Name {
				has = sp.Generation
			}
		}
	}
	switch c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAccepted); {
	case c != nil && c.Status == metav1.ConditionFalse:
		r.add(finding.Warn, about, "not accepted: "+c.Message, "kubectl describe accesspolicy -n "+p.Namespace+" "+p.Name)
	case has != p.Generation && s != nil:
		r.add(finding.Warn, about, fmt.Sprintf("the sidecar has generation %d, and %d is wanted", has, p.Generation), "wait a minute; then kubectl tidewaiter doctor")
	case p.Spec.Mode == v1alpha1.ModeObserve:
		r.add(finding.Warn, about, "it only observes: what it would deny is let through (masks stay on)", "set spec.mode: Enforce")
	case s == nil:
		r.add(finding.OK, about, "selects this pod", "")
	default:
		r.add(finding.OK, about, fmt.Sprintf("in force, generation %d", p.Generation), "")
	}
	if s == nil {
		return p.Name + ", which no sidecar has acknowledged"
	}
	return fmt.Sprintf("%s, generation %d", p.Name, has)
}
