package distribute

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/budget"
	"github.com/tidewaiter/tidewaiter/controllers/session"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

// borrow asks for a part of a budget, and returns the answer.
func (c *sidecar) borrow(r *sidecarv1alpha1.BudgetRequest) *sidecarv1alpha1.BudgetAnswer {
	c.t.Helper()
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Budget{Budget: r}})
	for {
		if a := c.next().GetBudget(); a != nil {
			if a.GetSequence() != r.GetSequence() {
				c.t.Fatalf("the answer to %d is to %d", r.GetSequence(), a.GetSequence())
			}
			return a
		}
	}
}

func TestPodsOfAWorkloadShareABudgetThatThePolicySets(t *testing.T) {
	clients, err := kubernetes.NewForConfig(kubetest.Shared(t).Config)
	must(t, err)
	ledger := budget.New(budget.Options{ConfigMaps: clients.CoreV1().ConfigMaps(kubetest.Shared(t).NewNamespace(t, nil))})
	s := start(t, func(o *Options, _ *session.Options) { o.Budgets = ledger }).shop(t)
	rows, bytes, probes := int64(100), resource.MustParse("1Ki"), int64(3)
	update(t, s.client, s.policy(t, "limits", "orders"), func(p *v1alpha1.AccessPolicy) {
		p.Spec.Rules[0].Limits = &v1alpha1.Limits{RowsPerHour: &rows, BytesPerHour: &bytes}
		p.Spec.Probes = &v1alpha1.Probes{PerHour: &probes}
	})
	elsewhere := s.policy(t, "elsewhere", "other")
	update(t, s.client, elsewhere, func(p *v1alpha1.AccessPolicy) {
		p.Spec.Rules[0].Limits = &v1alpha1.Limits{RowsPerHour: &rows}
	})
	one, two := s.connect(t, s.pod(t, "one", "orders")), s.connect(t, s.pod(t, "two", "orders"))
	one.snapshot(true)
	two.snapshot(true)
	ask := func(policy, rule, which string, want int64) *sidecarv1alpha1.BudgetRequest {
		return &sidecarv1alpha1.BudgetRequest{
			DataSource: s.data + "/orders", Rule: &sidecarv1alpha1.RuleReference{Policy: s.data + "/" + policy, Rule: rule}, Budget: which, Want: want, Sequence: 7,
		}
	}
	eventually(t, "the operator to have read the policy", func() bool { return one.borrow(ask("limits", "read", "rowsPerHour", 60)).GetGranted() == 60 })
	if a := two.borrow(ask("limits", "read", "rowsPerHour", 41)); a.GetGranted() != 0 || a.GetLeft() != 40 || a.GetLimit() != 100 || a.GetRetrySeconds() < 3600 {
		t.Errorf("another pod got %v", a)
	}
	back := ask("limits", "read", "rowsPerHour", 0)
	back.Unused = 10
	if a := one.borrow(back); a.GetLeft() != 50 {
		t.Errorf("what was given back: %v", a)
	}
	if a := two.borrow(ask("limits", "read", "rowsPerHour", 41)); a.GetGranted() != 41 || a.GetSeconds() != 60 {
		t.Errorf("another pod got %v after that", a)
	}
	if a := two.borrow(ask("limits", "read", "bytesPerHour", 1024)); a.GetGranted() != 1024 {
		t.Errorf("bytes: %v", a)
	}
	if a := two.borrow(ask("limits", "probes", "probesPerHour", 4)); a.GetGranted() != 0 || a.GetLimit() != 3 {
		t.Errorf("probes: %v", a)
	}
	for what, r := range map[string]*sidecarv1alpha1.BudgetRequest{
		"a rule without a limit":             ask("reporting", "read", "rowsPerHour", 1),
		"no rule":                            ask("limits", "write", "rowsPerHour", 1),
		"no policy":                          ask("nothing", "read", "rowsPerHour", 1),
		"a policy of another data source":    ask("elsewhere", "read", "rowsPerHour", 1),
		"no such budget":                     ask("limits", "read", "secretsPerHour", 1),
		"a data source that the pod has not": {DataSource: s.data + "/other", Rule: ask("elsewhere", "read", "", 0).Rule, Budget: "rowsPerHour", Want: 1, Sequence: 9},
		"nothing at all":                     {},
	} {
		if a := one.borrow(r); a.GetGranted() != 0 || a.GetRetrySeconds() == 0 || a.GetLimit() != 0 {
			t.Errorf("%s: %v", what, a)
		}
	}
}

// told is a recorder of events that says what they are about.
type told struct{ events chan string }

// Eventf keeps an event.
func (r told) Eventf(about, _ runtime.Object, kind, reason, action, note string, args ...any) {
	o, _ := about.(client.Object)
	r.events <- fmt.Sprintf("%s %s/%s %s %s %s", about.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName(), kind, reason, fmt.Sprintf(note, args...))
}

func TestASlowDripShowsInTheSessionAndAsAnEventOnThePod(t *testing.T) {
	told := told{make(chan string, 8)}
	s := start(t, func(_ *Options, o *session.Options) { o.Refresh, o.Events = time.Hour, told }).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	c.snapshot(true)
	eventually(t, "the Session", func() bool { return s.session(t, "report", "orders").Status.Revision > 0 })
	since := time.Now().Add(-time.Minute)
	report := &sidecarv1alpha1.Report{DataSource: s.data + "/orders", Statements: 3, SlowDripSince: timestamppb.New(since)}
	c.report(report)
	condition := func() *metav1.Condition {
		return meta.FindStatusCondition(s.session(t, "report", "orders").Status.Conditions, v1alpha1.ConditionSlowDrip)
	}
	eventually(t, "the condition", func() bool { return condition() != nil })
	if got := condition(); got.Status != metav1.ConditionTrue || got.Reason != v1alpha1.ReasonSustainedReading || got.LastTransitionTime.Unix() != since.Unix() {
		t.Errorf("condition %+v", got)
	}
	select {
	case got := <-told.events:
		if !strings.Contains(got, "Warning SustainedReading DataSource "+s.data+"/orders") || !strings.HasPrefix(got, "Pod "+s.work+"/report ") {
			t.Errorf("event %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("no event")
	}
	time.Sleep(reportInterval)
	report.Statements, report.SlowDripSince = 4, nil
	c.report(report)
	eventually(t, "the condition to go", func() bool { return condition() == nil })
	if len(told.events) > 0 {
		t.Errorf("told again: %q", <-told.events)
	}
}

func TestWithoutALedgerNothingIsLent(t *testing.T) {
	s := start(t, nil).shop(t)
	c := s.connect(t, s.pod(t, "one", "orders"))
	c.snapshot(true)
	if a := c.borrow(&sidecarv1alpha1.BudgetRequest{DataSource: s.data + "/orders", Budget: "rowsPerHour", Want: 1, Sequence: 1}); a.GetGranted() != 0 {
		t.Errorf("got %v", a)
	}
}
