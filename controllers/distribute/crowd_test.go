package distribute

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

// besieged opens connections from another address without end, each held until the server closes it: some say nothing,
// some shake hands and then say nothing, and some ask for a stream without a token.
func (o *operator) besieged(t *testing.T) (opened *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	opened = &atomic.Int64{}
	stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 10 * time.Second}
	for i := range 120 {
		running.Go(func() {
			for ctx.Err() == nil {
				if i%12 == 0 {
					o.withoutToken(ctx, stranger)
					continue
				}
				conn, err := stranger.DialContext(ctx, "tcp", o.address)
				if err != nil {
					continue
				}
				opened.Add(1)
				keepOpen(ctx, conn, i%2 == 0)
			}
		})
	}
	return opened
}

// keepOpen waits for the server to close a connection.
func keepOpen(ctx context.Context, conn net.Conn, shake bool) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	if shake {
		secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // no matter who it is
		if secured.HandshakeContext(ctx) != nil {
			return
		}
		conn = secured
	}
	for buffer := make([]byte, 1024); ; {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

func (o *operator) withoutToken(ctx context.Context, from net.Dialer) {
	c, err := o.open(ctx, "", grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		return from.DialContext(ctx, "tcp", address)
	}))
	if err != nil {
		return
	}
	defer c.close()
	_, _ = c.stream.Recv() // refused, or cut off
}

func TestConnectionsWithoutATokenKeepNoSidecarOut(t *testing.T) {
	const most = 4
	registry := prometheus.NewRegistry()
	s := start(t, func(o *Options, _ *session.Options) { o.MaxStreams, o.Registerer = most, registry }).shop(t)
	before := s.connect(t, s.pod(t, "before", "orders"))
	before.snapshot(true)
	tokens := map[string]string{}
	for i := range most - 1 {
		name := fmt.Sprintf("report-%d", i)
		tokens[name] = s.token(t, s.pod(t, name, "orders"))
	}
	for range 40 {
		if _, reason := s.dial(t, "").ended(); reason != ReasonTokenMissing {
			t.Fatalf("without a token: %s", reason)
		}
	}
	opened := s.besieged(t)
	limit := most + most/4 + 16
	eventually(t, "more connections than are served", func() bool { return opened.Load() > int64(4*limit) })
	sidecars := []*sidecar{before}
	for name, token := range tokens {
		began := time.Now()
		c := s.dial(t, token)
		c.hello()
		c.snapshot(true)
		if took := time.Since(began); took > helloTimeout { // no longer than a stranger may take
			t.Errorf("%s is served after %v", name, took)
		} else {
			t.Logf("%s is served after %v", name, took)
		}
		sidecars = append(sidecars, c)
	}
	// What is served goes on, the siege notwithstanding, and no more than the limit is kept.
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Rules[0].Tables = []v1alpha1.TablePattern{"public.*"} })
	for _, c := range sidecars {
		c.snapshot(true)
	}
	s.server.gate.mu.Lock()
	kept := len(s.server.gate.guests)
	s.server.gate.mu.Unlock()
	if kept > limit {
		t.Errorf("%d connections are kept, the limit is %d", kept, limit)
	}
	if lines := strings.Count(s.log.String(), ReasonTokenMissing); lines == 0 || lines > 60 {
		t.Errorf("refusals without a token are %d lines of the log", lines)
	}
	t.Logf("%d connections were opened, %.0f closed for others, %d are kept", opened.Load(), value(t, registry, "tidewaiter_connections_crowded_out_total"), kept)
}

func TestASidecarThatDoesNotReadIsGivenUpAndDelaysNobody(t *testing.T) {
	s := start(t, nil).shop(t)
	token := s.token(t, s.pod(t, "stuck", "orders"))
	stuck, err := s.open(t.Context(), token, grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	must(t, err)
	stuck.t = t
	t.Cleanup(stuck.close)
	stuck.hello()
	reading := s.connect(t, s.pod(t, "reading", "orders"))
	reading.snapshot(true)
	eventually(t, "both to have a stream", func() bool { return s.server.hub.count() == 2 })

	// Changes are large, and told until the one that does not read is given up.
	began, slowest, changes := time.Now(), time.Duration(0), 0
	for ; s.server.hub.count() == 2; changes++ {
		if time.Since(began) > time.Minute {
			t.Fatalf("it still has its stream after %d changes", changes)
		}
		update(t, s.client, s.getDataSource("orders"), func(ds *v1alpha1.DataSource) { ds.Spec.Classifications = manyColumns() })
		at := time.Now()
		reading.snapshot(true)
		slowest = max(slowest, time.Since(at))
	}
	t.Logf("it was given up after %v and %d changes; the other had each after %v at most", time.Since(began), changes, slowest)
	if slowest > sendTimeout/2 {
		t.Errorf("a sidecar that reads was told after %v", slowest)
	}
	if code, reason := stuck.ended(); code != codes.ResourceExhausted || reason != ReasonSlowReader {
		t.Errorf("it was given up with %s %s", code, reason)
	}
	// What it missed it gets when it connects anew.
	again := s.dial(t, token)
	again.hello()
	if got := again.snapshot(true).GetDataSources(); len(got) != 1 {
		t.Errorf("%d data sources when it is back", len(got))
	}
}

// manyColumns is much that does not compress.
func manyColumns() []v1alpha1.Classification {
	var out []v1alpha1.Classification
	for range 100 {
		out = append(out, v1alpha1.Classification{
			Columns: []v1alpha1.ColumnPattern{v1alpha1.ColumnPattern(fmt.Sprintf("*.*.c%x%x", rand.Uint64(), rand.Uint64()))}, Tags: []v1alpha1.Tag{"pii/x"},
		})
	}
	return out
}

// stalling answers for the sidecar's token, and for others only when they give up.
type stalling struct {
	asked atomic.Int64
	token string
}

func (s *stalling) Create(ctx context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	if r.Spec.Token != s.token {
		s.asked.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r.Status = authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{Audience},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:shop:default",
			Extra:    map[string]authenticationv1.ExtraValue{extraPodName: {"report"}, extraPodUID: {"1"}},
		},
	}
	return r, nil
}

func TestForgedTokensOfOneHostTakeNoOthersPlaceAtTheAPIServer(t *testing.T) {
	from := func(host string) context.Context {
		return peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(host), Port: 40000}})
	}
	expires := time.Now().Add(time.Hour)
	api := &stalling{token: forged("sidecar", expires)}
	a := newAuthenticator(api, time.Now)
	ctx, giveUp := context.WithCancel(from("10.0.0.1"))
	var running sync.WaitGroup
	for i := range 4 * maxReviews {
		running.Go(func() {
			if _, err := a.authenticate(ctx, forged(fmt.Sprintf("stranger-%d", i), expires)); err == nil {
				t.Error("a forged token is believed")
			}
		})
	}
	eventually(t, "the strangers' reviews", func() bool { return api.asked.Load() == maxOfOneHost })
	if got, err := a.authenticate(from("10.0.0.2"), api.token); err != nil || got.pod != "report" {
		t.Errorf("a sidecar beside them: %+v %v", got, err)
	}
	giveUp()
	running.Wait()
	if len(a.hosts.hosts) != 0 {
		t.Errorf("%d hosts are remembered that have nothing under way", len(a.hosts.hosts))
	}
}
