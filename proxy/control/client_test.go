package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
)

// ledger is a Fleet that writes down what it is told.
type ledger struct {
	mu      sync.Mutex
	lines   []string
	moved   chan struct{}
	refuse  error
	reports []*sidecarv1alpha1.Report
}

func (l *ledger) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

func (l *ledger) Put(p Part) error {
	l.mu.Lock()
	err := l.refuse
	l.mu.Unlock()
	if err == nil {
		l.note("put %s", p.Config.Name())
	}
	return err
}
func (l *ledger) Remove(name string) { l.note("remove %s", name) }
func (l *ledger) Revoke(name, reason, message string) {
	l.note("revoke %s: %s: %s", name, reason, message)
}
func (l *ledger) Lease(held bool) { l.note("lease %v", held) }
func (l *ledger) Reports() []*sidecarv1alpha1.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.reports)
}

func (l *ledger) report(all ...*sidecarv1alpha1.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports = all
}

// wait returns the lines so far once the last is the one that is waited for.
func (l *ledger) wait(t *testing.T, last string) []string {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		lines := slices.Clone(l.lines)
		l.mu.Unlock()
		if len(lines) > 0 && lines[len(lines)-1] == last {
			return lines
		}
		select {
		case <-l.moved:
		case <-end:
			t.Fatalf("no %q in %q", last, lines)
		}
	}
}

// run runs a client of an operator until the test ends.
func run(t *testing.T, o *operatortest.Operator, change ...func(*Options)) (*Client, *ledger) {
	t.Helper()
	l := &ledger{moved: make(chan struct{}, 1)}
	opt := Options{
		Operator: o.Address, Identity: Identity(o.Identity), DataSources: []string{"data/orders"}, Version: "v1", Fleet: l,
		Backoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond, ReportSoon: time.Millisecond, ReportEvery: time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&opt)
	}
	c := New(opt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return c, l
}

// whole is a snapshot that can be taken whole.
func whole(o *operatortest.Operator, revision uint64, seconds uint32) *sidecarv1alpha1.Snapshot {
	return &sidecarv1alpha1.Snapshot{
		Revision: revision, Lease: &sidecarv1alpha1.Lease{Seconds: seconds}, BundleSigners: o.Signer().Chain,
		DataSources: []*sidecarv1alpha1.DataSource{told()},
	}
}

func TestASidecarSaysWhoItIsAndAcknowledgesWhatItTakes(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	o := operatortest.Start(t)
	c, l := run(t, o)
	s := o.Next(t)
	if s.Token != "token-1" || s.Hello.GetVersion() != "v1" || s.Hello.GetRevision() != 0 || len(s.Hello.GetInstance()) != 16 || !slices.Equal(s.Hello.GetDataSources(), []string{"data/orders"}) {
		t.Errorf("it said %q and %v", s.Token, s.Hello)
	}
	if c.Accepted() || c.Leased() {
		t.Error("it is accepted before it was")
	}
	s.Snapshot(t, whole(o, 7, 60))
	if nack := s.Verdict(t, 7); nack != nil {
		t.Fatalf("refused: %v", nack)
	}
	if lines := l.wait(t, "lease true"); !slices.Equal(lines, []string{"put data/orders", "lease true"}) {
		t.Errorf("the fleet was told %q", lines)
	}
	if !c.Accepted() || !c.Leased() || c.Revision() != 7 {
		t.Errorf("accepted %v, leased %v, revision %d", c.Accepted(), c.Leased(), c.Revision())
	}
}

func TestAnOperatorThatGoesAwayIsAskedAgainWithTheTokenOfTheMoment(t *testing.T) {
	o := operatortest.Start(t)
	_, l := run(t, o)
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 600))
	l.wait(t, "lease true")
	o.UseToken("token-2")
	s.End(nil)
	if s = o.Next(t); s.Token != "token-2" || s.Hello.GetRevision() != 7 {
		t.Errorf("token %q, revision %d", s.Token, s.Hello.GetRevision())
	}
	o.Stop()
	o.UseToken("token-3")
	o.Restart()
	if s = o.Next(t); s.Token != "token-3" {
		t.Errorf("token %q", s.Token)
	}
	s.Snapshot(t, whole(o, 8, 600))
	if nack := s.Verdict(t, 8); nack != nil {
		t.Error(nack)
	}
	if lines := l.wait(t, "put data/orders"); slices.Contains(lines, "lease false") {
		t.Errorf("the lease was lost: %q", lines)
	}
}

func TestALeaseThatIsNotRenewedIsLostAndComesBack(t *testing.T) {
	o := operatortest.Start(t)
	c, l := run(t, o)
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 1))
	l.wait(t, "lease true")
	l.wait(t, "lease false")
	if c.Leased() {
		t.Error("it is still leased")
	}
	s.Lease(t, 60)
	l.wait(t, "lease true")
	s.Lease(t, 0)
	l.wait(t, "lease false")
	s.End(nil) // and the next stream gives it back
	o.Next(t).Snapshot(t, whole(o, 8, 60))
	l.wait(t, "lease true")
}

func TestAnOperatorThatCannotProveWhoItIsGetsNoToken(t *testing.T) {
	o, other := operatortest.Start(t), operatortest.Start(t)
	o.UseCA(other.CA())
	lines := make(chan string, 1000)
	_, l := run(t, o, func(opt *Options) { opt.Log = slog.New(slog.NewTextHandler(said(lines), nil)) })
	select {
	case line := <-lines:
		if !strings.Contains(line, "certificate signed by unknown authority") {
			t.Errorf("it says %s", line)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not complain")
	}
	if n := len(o.Streams()); n != 0 {
		t.Errorf("%d streams were opened", n)
	}
	o.UseCA(o.CA()) // read again for the next try
	o.Next(t).Snapshot(t, whole(o, 7, 60))
	l.wait(t, "lease true")
}

// said hands on what is logged.
type said chan string

func (s said) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

func TestARefusalToTheStreamIsNotTheEnd(t *testing.T) {
	o := operatortest.Start(t)
	var log strings.Builder
	var mu sync.Mutex
	_, l := run(t, o, func(opt *Options) { opt.Log = slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, b: &log}, nil)) })
	for range 3 {
		o.Next(t).End(status.Error(codes.PermissionDenied, "PodNotInjected: inject it"))
	}
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 60))
	l.wait(t, "lease true")
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "PermissionDenied: PodNotInjected: inject it"); n != 1 || strings.Contains(log.String(), "token-1") {
		t.Errorf("it was logged %d times:\n%s", n, log.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *strings.Builder
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func TestWhatIsRefusedIsToldWithItsReasonAndTheRestIsInForce(t *testing.T) {
	o, other := operatortest.Start(t), operatortest.Start(t)
	c, l := run(t, o)
	s := o.Next(t)
	second := told()
	second.Name, second.Target = "data/broken", nil
	mixed := whole(o, 7, 60)
	mixed.DataSources = append(mixed.DataSources, second)
	s.Snapshot(t, mixed)
	if nack := s.Verdict(t, 7); nack.GetReason() != ReasonSettingsInvalid || nack.GetDataSource() != "data/broken" {
		t.Errorf("got %v", nack)
	}
	if lines := l.wait(t, "lease true"); !slices.Equal(lines, []string{"put data/orders", "lease true"}) {
		t.Errorf("the fleet was told %q", lines)
	}
	wrong := whole(o, 8, 60)
	wrong.BundleSigners = other.Signer().Chain
	l.mu.Lock()
	l.refuse = &Refusal{Reason: "BundleExpired", Message: strings.Repeat("é", 4000)}
	l.mu.Unlock()
	for _, step := range []struct {
		snap   *sidecarv1alpha1.Snapshot
		reason string
	}{{whole(o, 7, 60), ReasonSnapshotRevision}, {wrong, ReasonBundleSigner}, {whole(o, 9, 60), "BundleExpired"}} {
		s.Snapshot(t, step.snap)
		if nack := s.Verdict(t, step.snap.GetRevision()); nack.GetReason() != step.reason || len(nack.GetMessage()) > 1<<10 || nack.GetMessage() == "" {
			t.Errorf("got %v, want %s", nack, step.reason)
		}
	}
	if c.Revision() != 9 {
		t.Errorf("it holds %d", c.Revision())
	}
}

func TestARevocationAndADataSourceThatIsGoneReachTheFleet(t *testing.T) {
	o := operatortest.Start(t)
	_, l := run(t, o)
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 60))
	l.wait(t, "lease true")
	s.Revoke(t, &sidecarv1alpha1.Revocation{Reason: "NotSelected", Message: "no policy selects it"})
	l.wait(t, "revoke data/orders: NotSelected: no policy selects it")
	s.Snapshot(t, &sidecarv1alpha1.Snapshot{Revision: 8, Lease: &sidecarv1alpha1.Lease{Seconds: 60}, BundleSigners: o.Signer().Chain})
	l.wait(t, "remove data/orders")
}

func TestAMessageThatIsNotKnownEndsTheStream(t *testing.T) {
	o := operatortest.Start(t)
	run(t, o)
	o.Next(t).Send(t, &sidecarv1alpha1.ConnectResponse{})
	o.Next(t)
}

func TestReportsAreSentWhenTheyHaveChangedAndAllOfThemOnANewStream(t *testing.T) {
	o := operatortest.Start(t)
	c, l := run(t, o)
	one := &sidecarv1alpha1.Report{DataSource: "data/orders", Statements: 1}
	l.report(one)
	isReport := func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetReport() != nil }
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 60))
	if got := s.Until(t, isReport).GetReport(); !proto.Equal(got, one) {
		t.Errorf("got %v", got)
	}
	two := &sidecarv1alpha1.Report{DataSource: "data/orders", Statements: 2}
	l.report(two)
	c.Changed()
	if got := s.Until(t, isReport).GetReport(); !proto.Equal(got, two) {
		t.Errorf("got %v", got)
	}
	c.Changed() // but nothing has
	s.End(nil)
	s = o.Next(t)
	s.Snapshot(t, whole(o, 8, 60))
	if got := s.Until(t, isReport).GetReport(); !proto.Equal(got, two) {
		t.Errorf("on the new stream: %v", got)
	}
}

func TestARecordingsChunkIsAcknowledgedOrItsStreamHasEnded(t *testing.T) {
	o := operatortest.Start(t)
	c, l := run(t, o)
	if _, err := c.SendRecording(t.Context(), &sidecarv1alpha1.RecordingChunk{Id: "a"}); !errors.Is(err, ErrNoStream) {
		t.Errorf("without a stream: %v", err)
	}
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 60))
	l.wait(t, "lease true")
	type result struct {
		ack *sidecarv1alpha1.RecordingAck
		err error
	}
	results := make(chan result, 1)
	send := func(id string) {
		ack, err := c.SendRecording(context.Background(), &sidecarv1alpha1.RecordingChunk{Id: id, Data: []byte("x")})
		results <- result{ack, err}
	}
	chunk := func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetRecording() != nil }
	attached(t, c)
	go send("a")
	s.Until(t, chunk)
	s.AckRecording(t, &sidecarv1alpha1.RecordingAck{Id: "b", Size: 9}) // of nothing that was sent
	s.AckRecording(t, &sidecarv1alpha1.RecordingAck{Id: "a", Size: 1})
	if r := <-results; r.err != nil || r.ack.GetId() != "a" || r.ack.GetSize() != 1 {
		t.Errorf("got %v, %v", r.ack, r.err)
	}
	c.uplink.patience = 10 * time.Millisecond
	go send("silent")
	s.Until(t, chunk)
	if r := <-results; !errors.Is(r.err, ErrNoAnswer) {
		t.Errorf("got %v, %v", r.ack, r.err)
	}
	c.uplink.patience = time.Hour
	go send("c")
	s.Until(t, chunk)
	s.End(nil)
	if r := <-results; !errors.Is(r.err, ErrNoStream) {
		t.Errorf("got %v, %v", r.ack, r.err)
	}
}

// attached waits until recordings can be sent.
func attached(t *testing.T, c *Client) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.uplink.mu.Lock()
		ok := c.uplink.stream != nil
		c.uplink.mu.Unlock()
		if ok {
			return
		}
	}
	t.Fatal("there is no uplink")
}

func TestRetriesAreSpreadOverHalfTheTime(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		d := jitter(time.Second)
		if d < 500*time.Millisecond || d > time.Second {
			t.Errorf("jitter of 1 s is %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different ones", len(seen))
	}
}
