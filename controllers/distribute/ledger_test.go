package distribute

import (
	"crypto/sha256"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

var (
	orders = types.NamespacedName{Namespace: "data", Name: "orders"}
	stock  = types.NamespacedName{Namespace: "data", Name: "stock"}
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func both(revision uint64) map[types.NamespacedName]*part {
	return map[types.NamespacedName]*part{orders: {revision: revision}, stock: {revision: revision}}
}

func TestRevisionsOnlyGrow(t *testing.T) {
	l := newLedger(0)
	if got := l.next(noon); got != uint64(noon.UnixMilli()) {
		t.Errorf("the first is %d", got)
	}
	l.send(l.next(noon), both(1), noon)
	if got := l.next(noon.Add(-time.Hour)); got != uint64(noon.UnixMilli())+1 {
		t.Errorf("with a clock that went back it is %d", got)
	}
	if got := newLedger(1 << 60).next(noon); got != 1<<60+1 {
		t.Errorf("after another replica's it is %d", got)
	}
}

func TestARefusedPartStaysAsItWasAndTheOthersAreInForce(t *testing.T) {
	l := newLedger(0)
	l.send(1, both(1), noon)
	if _, ok := l.ack(1, noon); !ok {
		t.Fatal("the ack counts for nothing")
	}
	l.send(2, both(2), noon)
	if !l.nack(&sidecarv1alpha1.Nack{Revision: 2, DataSource: "data/orders", Reason: "BundleExpired"}, noon) {
		t.Fatal("the nack counts for nothing")
	}
	if l.force[stock].revision != 1 {
		t.Error("settled before every nack can be there")
	}
	if l.quiet(noon.Add(nackQuiet/2)) || !l.quiet(noon.Add(nackQuiet)) {
		t.Error("settled too early, or never")
	}
	if l.force[orders].revision != 1 || l.force[stock].revision != 2 || l.rejected[orders].Reason != "BundleExpired" || l.rejected[stock] != nil {
		t.Errorf("in force %v, rejected %v", l.force, l.rejected)
	}
	l.send(3, both(3), noon)
	l.ack(3, noon)
	if l.force[orders].revision != 3 || l.rejected[orders] != nil {
		t.Error("the rejection outlives the ack")
	}
}

func TestAnswersToWhatWasNotSentAreNone(t *testing.T) {
	l := newLedger(0)
	l.send(1, both(1), noon)
	if _, ok := l.ack(7, noon); ok || l.nack(&sidecarv1alpha1.Nack{Revision: 7}, noon) {
		t.Error("taken")
	}
	l.ack(1, noon)
	if _, ok := l.ack(1, noon); ok {
		t.Error("taken twice")
	}
	for i := range uint64(100) {
		l.send(10+i, both(10+i), noon)
	}
	if len(l.sent) > maxUnsettled {
		t.Errorf("%d snapshots are kept for a sidecar that does not answer", len(l.sent))
	}
}

func TestWhatIsRevokedIsNotPutInForceByALateAck(t *testing.T) {
	l := newLedger(0)
	l.send(1, both(1), noon)
	l.revoke(orders)
	l.ack(1, noon)
	if l.force[orders] != nil || l.force[stock] == nil {
		t.Errorf("in force %v", l.force)
	}
}

func TestAWholeSnapshotThatIsRefusedChangesNothing(t *testing.T) {
	l := newLedger(0)
	l.send(1, both(1), noon)
	l.ack(1, noon)
	l.send(2, both(2), noon)
	l.nack(&sidecarv1alpha1.Nack{Revision: 2, Reason: "Snapshot Revision!", Message: "\xff"}, noon)
	l.quiet(noon.Add(nackQuiet))
	if l.force[orders].revision != 1 || l.force[stock].revision != 1 || l.rejected[stock].Reason != "SnapshotRevision" || l.rejected[stock].Message != "?" {
		t.Errorf("in force %v, rejected %v", l.force, l.rejected)
	}
}

func TestTriesOfAToken(t *testing.T) {
	th := newThrottle()
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	n := 0
	for range 20 {
		if th.allow(a, noon) {
			n++
		}
	}
	if n != tryBurst || !th.allow(b, noon) {
		t.Errorf("%d tries at once, want %d; others have their own", n, tryBurst)
	}
	if !th.allow(a, noon.Add(tryInterval)) || th.allow(a, noon.Add(tryInterval)) {
		t.Error("one more after the interval")
	}
	for i := range maxTries + 10 {
		th.allow(sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), noon)
	}
	if len(th.until) > maxTries {
		t.Errorf("%d tokens are remembered", len(th.until))
	}
	if th.allow(sha256.Sum256([]byte("new")), noon) {
		t.Error("a flood of tokens leaves room for more")
	}
	if !th.allow(sha256.Sum256([]byte("new")), noon.Add(time.Minute)) {
		t.Error("the flood is never forgotten")
	}
}

func TestTheHubPokesThoseThatAreConcerned(t *testing.T) {
	h := newHub(2)
	join := func(uid, namespace string, ds ...types.NamespacedName) *stream {
		t.Helper()
		id := identity{pod: injected(namespace, uid, []string{"data/orders"}), injected: ds}
		id.pod.UID = types.UID(uid)
		s, err := h.join(id)
		must(t, err)
		<-s.dirty // the first look
		return s
	}
	poked := func(s *stream) bool {
		select {
		case <-s.dirty:
			return true
		default:
			return false
		}
	}
	a, b := join("a", "shop", orders), join("b", "other", stock)
	for what, c := range map[string]struct {
		change func()
		a, b   bool
	}{
		"data source": {func() { h.dataSourceChanged(orders); h.dataSourceChanged(orders) }, true, false},
		"namespace":   {func() { h.namespaceChanged("other") }, false, true},
		"pod":         {func() { h.podChanged("a") }, true, false},
		"stranger":    {func() { h.podChanged("x"); h.namespaceChanged("x") }, false, false},
	} {
		c.change()
		if gotA, gotB := poked(a), poked(b); gotA != c.a || gotB != c.b {
			t.Errorf("%s: poked %v %v", what, gotA, gotB)
		}
	}
	full := identity{pod: injected("shop", "c", []string{"data/orders"})}
	full.pod.UID = "c"
	if _, err := h.join(full); reasonOf(err) != ReasonTooMany {
		t.Errorf("a stream above the limit: %v", err)
	}
	again := join("a", "shop", orders)
	if <-a.gone; a.end.reason != ReasonReplaced || h.leave(a) || h.count() != 2 {
		t.Errorf("the earlier stream: %v", a.end)
	}
	if !h.leave(again) || !h.leave(b) || len(h.byDataSource)+len(h.byNamespace)+len(h.byPod) != 0 {
		t.Error("something is left")
	}
	h.close(unavailable(ReasonStopping, ""))
	if _, err := h.join(full); reasonOf(err) != ReasonStopping {
		t.Errorf("a stream after the end: %v", err)
	}
}
