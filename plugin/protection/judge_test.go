package protection

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 26, 14, 17, 40, 0, time.UTC)

// sound are the facts about a pod that is protected.
func sound() *Facts {
	last := metav1.NewTime(now.Add(-4 * time.Second))
	status := injection.Status{
		Version: injection.StatusVersion, DataSources: []string{"data/orders"}, Sidecar: injection.ModeNative, HealthPort: injection.HealthPort, LogLevel: injection.LogInfo, SpoolSize: "1Gi",
	}
	text, err := status.Marshal()
	if err != nil {
		panic(err)
	}
	ready := []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
	return &Facts{
		Pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "report-7d9f", UID: "u1", Labels: map[string]string{injection.InjectedLabel: injection.Injected},
				Annotations: map[string]string{injection.Annotation: "data/orders", injection.StatusAnnotation: text},
			},
			Spec:   corev1.PodSpec{ServiceAccountName: "report-agent", InitContainers: []corev1.Container{{Name: injection.ContainerName}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{{Name: injection.ContainerName, Ready: true}}},
		},
		NamespaceLabels: map[string]string{injection.NamespaceLabel: injection.NamespaceEnabled, "team": "shop"},
		Sessions: []v1alpha1.Session{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "report-7d9f-orders"},
			Spec:       v1alpha1.SessionSpec{DataSource: v1alpha1.NamespacedReference{Namespace: "data", Name: "orders"}},
			Status: v1alpha1.SessionStatus{
				State: v1alpha1.SessionActive, Revision: 42, Policies: []v1alpha1.SessionPolicy{{Name: "reporting", Generation: 3}},
				Statements: 1204, Denied: 3, Masked: 88_120, Held: 1, Rows: 2000, Bytes: 5 << 20, LastActivity: &last,
			},
		}},
		DataSources: map[string]Read[*v1alpha1.DataSource]{"data/orders": {Value: &v1alpha1.DataSource{
			ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders"},
			Spec:       v1alpha1.DataSourceSpec{AllowedNamespaces: v1alpha1.AllowedNamespaces{Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}}},
			Status:     v1alpha1.DataSourceStatus{Conditions: ready},
		}}},
		Policies: map[string]Read[[]v1alpha1.AccessPolicy]{"data": {Value: []v1alpha1.AccessPolicy{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "reporting", Generation: 3},
			Spec: v1alpha1.AccessPolicySpec{
				DataSources: []v1alpha1.DataSourceReference{{Name: "orders"}},
				Subjects:    []v1alpha1.Subject{{NamespaceSelector: &v1alpha1.LabelSelector{}, ServiceAccounts: []v1alpha1.ObjectName{"report-agent"}}},
			},
			Status: v1alpha1.AccessPolicyStatus{Conditions: ready},
		}}}},
	}
}

func TestOnlyAPodOfWhichEverythingSpeaksWellIsProtected(t *testing.T) {
	const fine = "protected"
	for name, c := range map[string]struct {
		change  func(*Facts)
		verdict string
		cure    string
	}{
		"a sound pod":          {func(*Facts) {}, fine, ""},
		"one that asks for no": {func(f *Facts) { f.Pod.Annotations, f.Pod.Labels = nil, nil }, "NOT protected: it asks for no data source, so it has no sidecar", "annotate its template"},
		"a namespace that was never opted in": {func(f *Facts) {
			f.NamespaceLabels = nil
			delete(f.Pod.Annotations, injection.StatusAnnotation)
		}, "NOT protected: it has no sidecar: namespace shop is not labeled tidewaiter.dev/injection=enabled", "kubectl label namespace shop tidewaiter.dev/injection=enabled"},
		"a namespace that no longer is": {func(f *Facts) { f.NamespaceLabels = nil }, "NOT protected: namespace shop is no longer labeled", "kubectl label namespace shop"},
		"one made without a webhook":    {func(f *Facts) { delete(f.Pod.Labels, injection.InjectedLabel) }, "NOT protected: it asks for data/orders and has no sidecar: it was created while no webhook looked", "delete the pod"},
		"a changed annotation":          {func(f *Facts) { f.Pod.Annotations[injection.StatusAnnotation] = "{}" }, "NOT protected: what injection wrote was changed", "delete the pod"},
		"no container":                  {func(f *Facts) { f.Pod.Spec.InitContainers = nil }, "NOT protected: container tidewaiter-proxy is not there", "delete the pod"},
		"no session":                    {func(f *Facts) { f.Sessions = nil }, "NOT protected: the operator knows no sidecar of this pod for data/orders", "kubectl logs -n shop report-7d9f -c tidewaiter-proxy"},
		"a revoked session": {func(f *Facts) {
			f.Sessions[0].Status.State, f.Sessions[0].Status.Message = v1alpha1.SessionRevoked, "the pod was altered"
		}, "NOT protected: the operator has cut it off from data/orders: the pod was altered", "ask the owner"},
		"a lost session":        {func(f *Facts) { f.Sessions[0].Status.State = "" }, "NOT protected: the operator has lost the sidecar of data/orders", "kubectl logs"},
		"a way around":          {func(f *Facts) { condition(f, v1alpha1.ConditionGoverned, "a probe got in") }, "NOT protected: a program without a sidecar reaches data/orders: a probe got in", "NetworkPolicy"},
		"another namespace":     {func(f *Facts) { f.NamespaceLabels["team"] = "x" }, "NOT protected: it lets no pod of namespace shop attach", "spec.allowedNamespaces"},
		"an older policy":       {func(f *Facts) { f.Policies["data"].Value[0].Generation = 4 }, "protected; one thing deserves a look", ""},
		"a refused revision":    {func(f *Facts) { f.Sessions[0].Status.Rejection = &v1alpha1.SessionRejection{Revision: 43} }, "protected; one thing deserves a look", ""},
		"an observing policy":   {func(f *Facts) { f.Policies["data"].Value[0].Spec.Mode = v1alpha1.ModeObserve }, "protected; one thing deserves a look", ""},
		"no policy":             {func(f *Facts) { f.Policies["data"] = Read[[]v1alpha1.AccessPolicy]{} }, "protected; one thing deserves a look", ""},
		"unreadable policies":   {func(f *Facts) { f.Policies["data"] = Read[[]v1alpha1.AccessPolicy]{Problem: "forbidden"} }, "protected; one thing deserves a look", ""},
		"an unreadable source":  {func(f *Facts) { f.DataSources["data/orders"] = Read[*v1alpha1.DataSource]{Problem: "forbidden"} }, "protected; one thing deserves a look", ""},
		"unreadable labels":     {func(f *Facts) { f.NamespaceLabels, f.NamespaceProblem = nil, "forbidden" }, "protected; one thing deserves a look", ""},
		"alarms":                {func(f *Facts) { f.Sessions[0].Status.Alarms = 2 }, "protected; one thing deserves a look", ""},
		"an unready source too": {func(f *Facts) { condition(f, v1alpha1.ConditionReady, "Reachable"); f.Sessions[0].Status.Alarms = 1 }, "protected; some things deserve a look", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := sound()
			c.change(f)
			r := Judge(f)
			if !strings.HasPrefix(r.Verdict, c.verdict) || c.verdict == fine && r.Verdict != fine || !strings.Contains(r.Cure, c.cure) || r.Protected == strings.HasPrefix(r.Verdict, "NOT") {
				t.Errorf("%v %q, cure %q\n%+v", r.Protected, r.Verdict, r.Cure, r.Findings)
			}
		})
	}
}

func condition(f *Facts, kind, message string) {
	ds := f.DataSources["data/orders"].Value
	for i := range ds.Status.Conditions {
		if ds.Status.Conditions[i].Type == kind {
			ds.Status.Conditions[i].Status, ds.Status.Conditions[i].Message = metav1.ConditionFalse, message
			return
		}
	}
	ds.Status.Conditions = append(ds.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Message: message})
}

func TestTheReportIsOneGlance(t *testing.T) {
	r := Judge(sound())
	r.Requests = []Waiting{{"data", "reporting-7k2p4", "shop/report-agent (7d9f): COPY orders TO STDOUT", "2026-11-26T14:30:00Z"}}
	r.Warnings = []Warning{{"2026-11-26T14:10:00Z", "AttestationDisagreed", "a result was dropped"}}
	f := sound()
	f.Sessions = nil
	for name, r := range map[string]*Report{"protected.txt": r, "not-protected.txt": Judge(f)} {
		var b bytes.Buffer
		if err := r.Write(&b, now, false); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || b.String() != string(want) {
			t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, &b, want)
		}
	}
}
