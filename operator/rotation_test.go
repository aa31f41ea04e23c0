package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestTwoReplicasThatStartOnAnEmptyClusterAreOfOneAuthority(t *testing.T) {
	server := installed(t)
	c := admin(t, server)
	config := asOperator(t, server)
	replicas := []*replica{run(t, config, "op-0"), run(t, config, "op-1")}
	for _, r := range replicas {
		eventually(t, "a replica is ready", func(context.Context) error { return r.ready() })
	}
	bundle := caBundle(t, c)
	if a := stored(t, c); string(a.TrustBundle()) != string(bundle) {
		t.Error("the webhook's caBundle is not the Secret's")
	}
	issuers := map[string]bool{}
	for _, r := range replicas {
		for _, address := range []string{r.webhook, r.sidecars} {
			leaf, err := handshake(t.Context(), address, bundle)
			must(t, err)
			issuers[leaf.Issuer.String()] = true
		}
	}
	if len(issuers) != 1 {
		t.Errorf("four servers are of the authorities %v", issuers)
	}
}

// stored is the authority as it is in the cluster.
func stored(t *testing.T, c client.Client) *authority.Authority {
	t.Helper()
	var secret corev1.Secret
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: authority.SecretName}, &secret))
	a, err := authority.Parse(secret.Data)
	must(t, err)
	return a
}

func caBundle(t *testing.T, c client.Client) []byte {
	t.Helper()
	var hooks admissionregistrationv1.MutatingWebhookConfiguration
	must(t, c.Get(t.Context(), client.ObjectKey{Name: WebhookConfiguration}, &hooks))
	return hooks.Webhooks[0].ClientConfig.CABundle
}

// handshake verifies a server by a bundle, as somebody does who has no connection yet.
func handshake(ctx context.Context, address string, bundle []byte) (*x509.Certificate, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return nil, fmt.Errorf("%T", conn)
	}
	return secured.ConnectionState().PeerCertificates[0], nil
}

// The clock is moved instead of waiting for a year and a day. It ends at the real time and begins little enough before that
// everything that is issued on the way is valid for API servers and sidecars, whose clocks are the real one.
const (
	beforeRotation = -26 * time.Hour
	atRotation     = -25 * time.Hour
	afterSettling  = 0 * time.Hour
	rotationAge    = 365 * 24 * time.Hour // of the root, see package authority
)

func TestRotationUnderLoadLosesNoCall(t *testing.T) {
	server, pg := installed(t), postgrestest.Shared(t)
	c := admin(t, server)
	first, err := authority.New(time.Now().Add(beforeRotation - rotationAge + 30*time.Minute))
	must(t, err)
	data, err := first.Data()
	must(t, err)
	must(t, c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: authority.SecretName}, Data: data}))
	var offset atomic.Int64
	offset.Store(int64(beforeRotation))
	clock := func(o *Options) {
		o.SidecarLease = 6 * time.Second
		o.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	}
	config := asOperator(t, server)
	r := &rotation{t: t, server: server, c: c, replicas: []*replica{run(t, config, "op-0", clock), run(t, config, "op-1", clock)}}
	for _, one := range r.replicas {
		eventually(t, "a replica is ready", func(context.Context) error { return one.ready() })
	}
	prepare(t, server, pg)
	running := connect(t, server, c, injected(t, server, c, inTurns(t, r.replicas[0].webhook, r.replicas[1].webhook)), r.replicas[0].sidecars)
	old := r.signedBy(running.snapshot())
	stop := r.load()
	r.step("one root", 1, old)

	offset.Store(int64(atRotation)) // both replicas find it due, and one of them is first
	r.step("the new root is known beside the old one, which signs", 2, old)

	offset.Store(int64(afterSettling))
	next := r.signedBy(r.signedAnew(running, old))
	r.step("the new root signs, and the old one is still known", 2, next)

	// What a replica does nine days later.
	var secret corev1.Secret
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: authority.SecretName}, &secret))
	last, changed, err := stored(t, c).Next(time.Now().AddDate(0, 0, 10))
	must(t, err)
	if !changed {
		t.Fatal("the old root is never left out")
	}
	secret.Data, err = last.Data()
	must(t, err)
	must(t, c.Update(t.Context(), &secret))
	r.step("the old root is forgotten", 1, next)
	stop()

	// The stream of before the rotation is the same one all along.
	server.Kubectl(t, "-n", "data", "patch", "accesspolicy", "reporting", "--type=merge", "-p", `{"spec":{"predicates":"Deny"}}`)
	if got := r.signedBy(running.snapshot()); got != next {
		t.Errorf("the running stream's bundle is signed under %s", got)
	}
	nothingIsTold(t, c, r.replicas[0], pg.Password, "PRIVATE KEY")
	nothingIsTold(t, c, r.replicas[1], pg.Password, "PRIVATE KEY")
}

// rotation is what goes on while the authority is rotated.
type rotation struct {
	t        *testing.T
	server   *kubetest.Server
	c        client.Client
	replicas []*replica
	steps    int

	created, dialed atomic.Int64
}

// inTurns is a Service: it gives each connection to the next replica.
func inTurns(t *testing.T, addresses ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close() // Accept says so
		running.Wait()
	})
	running.Go(func() {
		for i := 0; ; i++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { relay(ctx, in, addresses[i%len(addresses)]) })
		}
	})
	return l.Addr().String()
}

func relay(ctx context.Context, in net.Conn, address string) {
	defer in.Close()
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	go func() {
		defer out.Close()
		_, _ = io.Copy(out, in) // ends with either connection
	}()
	_, _ = io.Copy(in, out)
}

// load creates pods, and dials every server anew, without pause until stop is called. What fails fails the test.
func (r *rotation) load() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() { r.repeat(ctx, &r.created, r.create) })
	}
	running.Go(func() { r.repeat(ctx, &r.dialed, r.dial) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		r.t.Logf("%d pods were created, and %d times all servers dialed", r.created.Load(), r.dialed.Load())
	})
	r.t.Cleanup(stop)
	return stop
}

func (r *rotation) repeat(ctx context.Context, done *atomic.Int64, do func(context.Context) error) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.t.Errorf("after %d calls: %v", done.Load(), err)
			return
		}
		done.Add(1)
	}
}

func podNamed(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: map[string]string{"app": "report"},
			Annotations: map[string]string{"tidewaiter.dev/inject": "data/orders"},
		},
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
	}
}

func (r *rotation) create(ctx context.Context) error {
	pod := podNamed("passing")
	pod.Name, pod.GenerateName = "", "passing-"
	if err := r.c.Create(ctx, pod, client.DryRunAll); err != nil {
		return fmt.Errorf("create a pod: %w", err)
	}
	if pod.Labels[injection.InjectedLabel] != injection.Injected {
		return errors.New("a pod was created without its sidecar")
	}
	return nil
}

// dial verifies all servers by what API servers and pods have at the moment.
func (r *rotation) dial(ctx context.Context) error {
	var hooks admissionregistrationv1.MutatingWebhookConfiguration
	var mounted corev1.ConfigMap
	if err := errors.Join(
		r.c.Get(ctx, client.ObjectKey{Name: WebhookConfiguration}, &hooks),
		r.c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: injection.CAConfigMap}, &mounted),
	); err != nil {
		return err
	}
	for _, one := range r.replicas {
		_, webhook := handshake(ctx, one.webhook, hooks.Webhooks[0].ClientConfig.CABundle)
		_, sidecars := handshake(ctx, one.sidecars, []byte(mounted.Data[injection.CAFile]))
		if err := errors.Join(webhook, sidecars); err != nil {
			return err
		}
	}
	return nil
}

// step waits until everybody knows so many roots, and asks that calls and dials go on then, that all servers are of the
// issuer, and that a new pod gets its stream.
func (r *rotation) step(what string, roots int, issuer string) {
	r.t.Helper()
	eventually(r.t, what, func(ctx context.Context) error {
		want := stored(r.t, r.c).TrustBundle()
		var mounted corev1.ConfigMap
		if err := r.c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: injection.CAConfigMap}, &mounted); err != nil {
			return err
		}
		if n := certificates(want); n != roots {
			return fmt.Errorf("there are %d roots", n)
		}
		if mounted.Data[injection.CAFile] != string(want) || string(caBundle(r.t, r.c)) != string(want) {
			return errors.New("the ConfigMap or the caBundle is another")
		}
		return nil
	})
	bundle := caBundle(r.t, r.c)
	for _, one := range r.replicas {
		for _, address := range []string{one.webhook, one.sidecars} {
			leaf, err := handshake(r.t.Context(), address, bundle)
			must(r.t, err)
			if got := leaf.Issuer.String(); got != issuer {
				r.t.Errorf("%s: a server is of %s, not %s", what, got, issuer)
			}
		}
	}
	created, dialed := r.created.Load(), r.dialed.Load()
	r.steps++
	pod := podNamed(fmt.Sprintf("later-%d", r.steps))
	must(r.t, r.c.Create(r.t.Context(), pod))
	s := connect(r.t, r.server, r.c, pod, r.replicas[r.steps%2].sidecars)
	if got := r.signedBy(s.snapshot()); got != issuer {
		r.t.Errorf("%s: a new stream's bundle is signed under %s, not %s", what, got, issuer)
	}
	eventually(r.t, what+", and calls go on", func(context.Context) error {
		if r.created.Load() < created+25 || r.dialed.Load() < dialed+5 {
			return fmt.Errorf("%d more creations, %d more dials", r.created.Load()-created, r.dialed.Load()-dialed)
		}
		return nil
	})
	r.t.Logf("%s: %d creations so far", what, r.created.Load())
}

func certificates(bundle []byte) int {
	return bytes.Count(bundle, []byte("-----BEGIN CERTIFICATE-----"))
}

// signedBy verifies the signer of a snapshot's bundles by what pods have mounted, and returns its root's name.
func (r *rotation) signedBy(snapshot *sidecarv1alpha1.Snapshot) string {
	r.t.Helper()
	leaf, err := x509.ParseCertificate(snapshot.GetBundleSigners()[0])
	must(r.t, err)
	var mounted corev1.ConfigMap
	must(r.t, r.c.Get(r.t.Context(), client.ObjectKey{Namespace: "shop", Name: injection.CAConfigMap}, &mounted))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(mounted.Data[injection.CAFile]))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}); err != nil {
		r.t.Errorf("the signer of bundles: %v", err)
	}
	return leaf.Issuer.String()
}

// signedAnew waits until a running stream is given bundles of another signer.
func (r *rotation) signedAnew(s *scripted, old string) *sidecarv1alpha1.Snapshot {
	r.t.Helper()
	for {
		snapshot := s.snapshot()
		s.ack(snapshot)
		if r.signedBy(snapshot) != old {
			return snapshot
		}
	}
}
