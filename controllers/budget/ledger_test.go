package budget

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// clock is set by the test. It is safe for concurrent use.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) set(at time.Time) *clock { c.at.Store(at.UnixNano()); return c }

// counting counts writes.
type counting struct {
	corev1client.ConfigMapInterface
	writes *atomic.Int64
}

func (c counting) Update(ctx context.Context, cm *corev1.ConfigMap, o metav1.UpdateOptions) (*corev1.ConfigMap, error) {
	c.writes.Add(1)
	return c.ConfigMapInterface.Update(ctx, cm, o)
}

// place is a namespace of a real API server.
type place struct {
	maps   counting
	client kubernetes.Interface
	name   string
	clock  clock
}

func newPlace(t *testing.T) *place {
	t.Helper()
	server := kubetest.Shared(t)
	config := *server.Config
	config.QPS, config.Burst = 500, 1000
	client, err := kubernetes.NewForConfig(&config)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{client: client, name: server.NewNamespace(t, nil)}
	p.maps = counting{client.CoreV1().ConfigMaps(p.name), &atomic.Int64{}}
	p.clock.set(noon)
	return p
}

// replica is an operator that knows nothing but what is written.
func (p *place) replica() *Ledger {
	return New(Options{ConfigMaps: p.maps, Now: p.clock.now, Log: logr.Discard()})
}

var key = Key{
	DataSource: types.NamespacedName{Namespace: "data", Name: "orders"}, Namespace: "shop", ServiceAccount: "agent",
	Policy: types.NamespacedName{Namespace: "data", Name: "p"}, Rule: "read", Budget: "rowsPerHour",
}

func lend(t *testing.T, l *Ledger, k Key, a Ask) Answer {
	t.Helper()
	got, err := l.Lend(t.Context(), k, a)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReplicasLendFromTheSameAndARestartForgetsNothing(t *testing.T) {
	p := newPlace(t)
	a, b := p.replica(), p.replica()
	if got := lend(t, a, key, Ask{Pod: "1", Limit: 100, Want: 60}); got.Granted != 60 {
		t.Fatalf("got %+v", got)
	}
	if got := lend(t, b, key, Ask{Pod: "2", Limit: 100, Want: 41}); got.Granted != 0 || got.Left != 40 {
		t.Fatalf("got %+v", got)
	}
	if got := lend(t, b, key, Ask{Pod: "2", Limit: 100, Want: 40}); got.Granted != 40 {
		t.Fatalf("got %+v", got)
	}
	// a remembers that there were 40: what it remembers is not enough to lend.
	if got := lend(t, a, key, Ask{Pod: "1", Limit: 100, Want: 1}); got.Granted != 0 || got.Left != 0 {
		t.Fatalf("got %+v", got)
	}
	// Pod 2 gives back through a, which was started anew, and pod 1 is lent that through b.
	lend(t, p.replica(), key, Ask{Pod: "2", Limit: 100, Unused: 15})
	if got := lend(t, b, key, Ask{Pod: "1", Limit: 100, Want: 15}); got.Granted != 15 {
		t.Fatalf("got %+v", got)
	}
	other := key
	other.ServiceAccount = "other"
	if got := lend(t, b, other, Ask{Pod: "3", Limit: 100, Want: 100}); got.Granted != 100 {
		t.Errorf("another subject: got %+v", got)
	}
	p.clock.set(noon.Add(62 * time.Minute))
	if got := lend(t, p.replica(), key, Ask{Pod: "1", Limit: 100, Want: 100}); got.Granted != 100 {
		t.Errorf("after the hour: got %+v", got)
	}
}

func TestUnderConcurrencyNothingIsLentTwice(t *testing.T) {
	p := newPlace(t)
	replicas := []*Ledger{p.replica(), p.replica(), p.replica()}
	var all sync.WaitGroup
	var lent, failed atomic.Int64
	for i := range 9 {
		l := replicas[i%len(replicas)]
		all.Go(func() {
			for range 15 {
				got, err := l.Lend(context.Background(), key, Ask{Pod: string(rune('a' + i)), Limit: 2000, Want: 7})
				if err != nil {
					failed.Add(1)
					continue
				}
				lent.Add(got.Granted)
			}
		})
	}
	all.Wait()
	got := lend(t, p.replica(), key, Ask{Pod: "z", Limit: 2000})
	if lent.Load() > 2000 || lent.Load()+got.Left < 2000-50*failed.Load() || got.Left+lent.Load() > 2000 {
		t.Errorf("%d were lent and %d are left of 2000; %d requests failed", lent.Load(), got.Left, failed.Load())
	}
	t.Logf("%d lent, %d left, %d failed, %d writes", lent.Load(), got.Left, failed.Load(), p.maps.writes.Load())
}

func TestASpentBudgetCostsNoWrites(t *testing.T) {
	p := newPlace(t)
	l := p.replica()
	lend(t, l, key, Ask{Pod: "1", Limit: 10, Want: 10})
	before := p.maps.writes.Load()
	for range 20 {
		if got := lend(t, l, key, Ask{Pod: "1", Limit: 10, Want: 1}); got.Granted != 0 {
			t.Fatalf("got %+v", got)
		}
	}
	if n := p.maps.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestWhatCannotBeReadLendsNothing(t *testing.T) {
	p := newPlace(t)
	lend(t, p.replica(), key, Ask{Pod: "1", Limit: 10, Want: 1})
	for what, data := range map[string]map[string]string{
		"a state that is cut off": {aboutKey: key.text(), stateKey: `{"lent":{`},
		"no state":                {aboutKey: key.text()},
		"somebody else's":         {aboutKey: "x", stateKey: newState().String()},
	} {
		cm, err := p.maps.Get(t.Context(), key.name(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		cm.Data = data
		if _, err := p.maps.Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := p.replica().Lend(t.Context(), key, Ask{Pod: "1", Limit: 10, Want: 1}); err == nil || got.Granted != 0 {
			t.Errorf("%s: got %+v, %v", what, got, err)
		}
	}
	if _, err := p.replica().Lend(canceled(t), key, Ask{Pod: "1", Limit: 10, Want: 1}); err == nil {
		t.Error("without an API server something was lent")
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestBudgetsThatAreSilentForAnHourAreRemovedAndTheirNumberIsBounded(t *testing.T) {
	p := newPlace(t)
	l := p.replica()
	young := key
	young.Rule = "young"
	lend(t, l, key, Ask{Pod: "1", Limit: 10, Want: 1})
	p.clock.set(noon.Add(30 * time.Minute))
	lend(t, l, young, Ask{Pod: "1", Limit: 10, Want: 1})
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{61 * time.Minute, 2}, {62 * time.Minute, 1}, {92 * time.Minute, 0}} {
		p.clock.set(noon.Add(step.after))
		if err := l.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := p.maps.List(t.Context(), metav1.ListOptions{LabelSelector: Label + "=" + Labeled})
		if err != nil || len(list.Items) != step.want || l.total != step.want {
			t.Errorf("after %v: %d are left, counted %d, want %d; %v", step.after, len(list.Items), l.total, step.want, err)
		}
	}
	l.counts["shop"] = maxKeysOfNamespace
	if _, err := l.Lend(t.Context(), key, Ask{Pod: "1", Limit: 10, Want: 1}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	elsewhere := key
	elsewhere.Namespace = "other"
	if got := lend(t, l, elsewhere, Ask{Pod: "1", Limit: 10, Want: 1}); got.Granted != 1 {
		t.Errorf("another namespace: got %+v", got)
	}
}

func TestTheOperatorsRoleIsEnough(t *testing.T) {
	server := kubetest.Shared(t)
	p := newPlace(t)
	manifest := server.Kubectl(t, "create", "--dry-run=client", "-o", "yaml", "-f", "../../config/rbac/namespace.yaml")
	manifest = strings.ReplaceAll(manifest, "tidewaiter-system", p.name)
	server.Apply(t, manifest)
	user := server.User(t, "system:serviceaccount:"+p.name+":tidewaiter-operator")
	client, err := kubernetes.NewForConfig(user)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Options{ConfigMaps: client.CoreV1().ConfigMaps(p.name), Now: p.clock.now, Log: logr.Discard()})
	lend(t, l, key, Ask{Pod: "1", Limit: 10, Want: 1})
	lend(t, l, key, Ask{Pod: "1", Limit: 10, Want: 1})
	p.clock.set(noon.Add(2 * time.Hour))
	if err := l.Sweep(t.Context()); err != nil || l.total != 0 {
		t.Errorf("%d are left, %v", l.total, err)
	}
}
