package authority

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func fresh(t *testing.T) *Authority {
	t.Helper()
	a, err := New(start)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func next(t *testing.T, a *Authority, now time.Time) (*Authority, bool) {
	t.Helper()
	b, changed, err := a.Next(now)
	if err != nil {
		t.Fatal(err)
	}
	return b, changed
}

func verify(a *Authority, l *Leaf, name string, use x509.ExtKeyUsage, now time.Time) error {
	_, err := l.cert.Verify(x509.VerifyOptions{
		Roots: a.Pool(), DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
	})
	return err
}

func TestTheSecretHoldsEverythingThatIsNeeded(t *testing.T) {
	a := fresh(t)
	data, err := a.Data()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if !a.same(b) || !bytes.Equal(a.Derive("data/orders"), b.Derive("data/orders")) {
		t.Error("what was read differs from what was written")
	}
	l, err := b.Serving([]string{"tidewaiter-operator.tidewaiter-system.svc", "127.0.0.1"}, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(a, l, "tidewaiter-operator.tidewaiter-system.svc", x509.ExtKeyUsageServerAuth, start); err != nil {
		t.Error(err)
	}
	if verify(a, l, "other.svc", x509.ExtKeyUsageServerAuth, start) == nil {
		t.Error("the leaf is good for a name that was not asked for")
	}
	if verify(a, l, "", x509.ExtKeyUsageCodeSigning, start) == nil {
		t.Error("a serving leaf may sign bundles")
	}
}

func TestTheBundleSignerIsNoServer(t *testing.T) {
	a := fresh(t)
	l, err := a.BundleSigner(start)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(a, l, "", x509.ExtKeyUsageCodeSigning, start); err != nil {
		t.Error(err)
	}
	if l.cert.Subject.CommonName != BundleSignerName {
		t.Errorf("common name %q", l.cert.Subject.CommonName)
	}
	if verify(a, l, "", x509.ExtKeyUsageServerAuth, start) == nil {
		t.Error("the bundle signer may serve")
	}
}

func TestDerivedKeysDifferByNameAndSurviveRotation(t *testing.T) {
	a := fresh(t)
	b, changed := next(t, a, start.Add(rootRotation))
	if !changed {
		t.Fatal("no rotation")
	}
	if bytes.Equal(a.Derive("data/orders"), a.Derive("data/order")) {
		t.Error("two names have one key")
	}
	if !bytes.Equal(a.Derive("data/orders"), b.Derive("data/orders")) {
		t.Error("the key changed with the root")
	}
	if bytes.Equal(a.Derive("data/orders"), fresh(t).Derive("data/orders")) {
		t.Error("two authorities derive one key")
	}
}

// Whoever holds the trust bundle of a day ago must verify every leaf that is shown
// today, and every leaf that is still valid must verify by today's bundle.
func TestAtNoTimeOfARotationIsALeafUnverifiable(t *testing.T) {
	type issued struct {
		leaf *Leaf
		at   time.Time
	}
	a := fresh(t)
	var leaves []issued
	bundles := []*Authority{a}
	const step = 24 * time.Hour
	rotations := 0
	for now := start; now.Before(start.Add(3 * rootRotation)); now = now.Add(step) {
		b, changed := next(t, a, now)
		if changed && len(b.roots) > len(a.roots) {
			rotations++
		}
		a = b
		bundles = append(bundles, a)
		l, err := a.Serving([]string{"x.svc"}, now)
		if err != nil {
			t.Fatal(err)
		}
		// The bundle of a day ago, and the first leaf is trusted at once.
		old := bundles[len(bundles)-2]
		if err := verify(old, l, "x.svc", x509.ExtKeyUsageServerAuth, now); err != nil {
			t.Fatalf("%s: by the bundle of a day ago: %v", now, err)
		}
		leaves = append(leaves, issued{l, now})
		for len(leaves) > 0 && !now.Before(leaves[0].leaf.NotAfter) {
			leaves = leaves[1:]
		}
		for _, i := range []issued{leaves[0], leaves[len(leaves)/2]} { // the oldest that is valid, and one between
			if err := verify(a, i.leaf, "x.svc", x509.ExtKeyUsageServerAuth, now); err != nil {
				t.Fatalf("%s: a leaf of %s: %v", now, i.at, err)
			}
		}
		if len(a.roots) > 2 {
			t.Fatalf("%s: %d roots", now, len(a.roots))
		}
	}
	if rotations < 2 {
		t.Errorf("%d rotations", rotations)
	}
}

func TestASecretThatWasAlteredIsRefusedAndNothingOfItIsTold(t *testing.T) {
	good, err := fresh(t).Data()
	if err != nil {
		t.Fatal(err)
	}
	other, err := fresh(t).Data()
	if err != nil {
		t.Fatal(err)
	}
	cert, _, _ := bytes.Cut(good[rootsKey], []byte("-----BEGIN PRIVATE"))
	_, key, _ := bytes.Cut(other[rootsKey], []byte("-----END CERTIFICATE-----\n"))
	for name, data := range map[string]map[string][]byte{
		"nothing":            {},
		"no seed":            {rootsKey: good[rootsKey]},
		"no roots":           {seedKey: good[seedKey]},
		"a short seed":       {rootsKey: good[rootsKey], seedKey: []byte("short")},
		"no key":             {rootsKey: cert, seedKey: good[seedKey]},
		"another root's key": {rootsKey: append(bytes.Clone(cert), key...), seedKey: good[seedKey]},
		"too much":           {rootsKey: bytes.Repeat(good[rootsKey], maxRoots+1), seedKey: good[seedKey]},
		"garbage":            {rootsKey: []byte("s3cret"), seedKey: good[seedKey]},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(data)
			if err == nil {
				t.Fatal("was accepted")
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error tells the value: %v", err)
			}
		})
	}
}

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestReplicasOnAnEmptyClusterMakeOneAuthority(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	now := &clock{now: start}
	const replicas = 8
	keepers := make([]*Keeper, replicas)
	var wg sync.WaitGroup
	for i := range keepers {
		keepers[i] = NewKeeper(KeeperOptions{Client: c, Namespace: "tidewaiter-system", Now: now.Now})
		wg.Go(func() {
			if err := keepers[i].Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, keepers)

	// A rotation that all of them find due is done once.
	now.add(rootRotation)
	for _, k := range keepers {
		wg.Go(func() {
			if err := k.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// Those that wrote first read again what the last one wrote.
	for _, k := range keepers {
		if err := k.Load(t.Context()); err != nil {
			t.Error(err)
		}
	}
	same(t, keepers)
	var list corev1.SecretList
	if err := c.List(t.Context(), &list); err != nil || len(list.Items) != 1 {
		t.Errorf("%d Secrets, %v", len(list.Items), err)
	}
	if a, _ := keepers[0].Current(); len(a.roots) != 2 {
		t.Errorf("%d roots after one rotation", len(a.roots))
	}
}

func same(t *testing.T, keepers []*Keeper) {
	t.Helper()
	first, err := keepers[0].Current()
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keepers {
		if a, err := k.Current(); err != nil || !a.same(first) {
			t.Errorf("replica %d has another authority (%v)", i, err)
		}
	}
}

func TestABrokenSecretIsNotOverwritten(t *testing.T) {
	broken := &corev1.Secret{Data: map[string][]byte{"roots.pem": []byte("x")}}
	broken.Namespace, broken.Name = "tidewaiter-system", SecretName
	c := fake.NewClientBuilder().WithObjects(broken).Build()
	k := NewKeeper(KeeperOptions{Client: c, Namespace: "tidewaiter-system"})
	if err := k.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "tidewaiter-system/tidewaiter-ca") {
		t.Errorf("error %v", err)
	}
	if _, err := k.Serving("x"); err == nil {
		t.Error("a leaf without an authority")
	}
	var got corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(broken), &got); err != nil || string(got.Data["roots.pem"]) != "x" {
		t.Errorf("the Secret was changed: %v", err)
	}
}

func TestAServerShowsItsNewLeafToTheNextHandshake(t *testing.T) {
	now := &clock{now: time.Now()}
	k := NewKeeper(KeeperOptions{Client: fake.NewClientBuilder().Build(), Namespace: "n", Now: now.Now})
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", k.TLSConfig("op.svc"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // the client's side tells
			conn.Close()
		}
	}()
	shown := func() string {
		a, err := k.Current()
		if err != nil {
			t.Fatal(err)
		}
		d := tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{RootCAs: a.Pool(), ServerName: "op.svc", Time: now.Now}}
		conn, err := d.DialContext(context.Background(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := shown()
	if shown() != first {
		t.Error("each handshake has another leaf")
	}
	now.add(leafLifetime/2 + time.Minute)
	if shown() == first {
		t.Error("the leaf was not renewed at half of its life")
	}
}

func TestListenersHearOfARotationOnce(t *testing.T) {
	now := &clock{now: start}
	k := NewKeeper(KeeperOptions{Client: fake.NewClientBuilder().Build(), Namespace: "n", Now: now.Now})
	heard := 0
	k.OnChange(func() { heard++ })
	for _, d := range []time.Duration{0, time.Hour, rootRotation, time.Hour} {
		now.add(d)
		if err := k.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if heard != 2 {
		t.Errorf("%d changes heard, want the creation and one rotation", heard)
	}
}

func TestNoListenerGetsTheOperatorsName(t *testing.T) {
	k := NewKeeper(KeeperOptions{Client: fake.NewClientBuilder().Build(), Namespace: "tidewaiter-system"})
	if err := k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"tidewaiter-operator.tidewaiter-system.svc", "tidewaiter-webhook.tidewaiter-system", "X.Tidewaiter-System.svc.cluster.local",
	} {
		l, refused, err := k.Listener("localhost", name)
		if err != nil || len(refused) != 1 {
			t.Fatalf("%s: refused %v, %v", name, refused, err)
		}
		if l.cert.VerifyHostname("localhost") != nil || l.cert.VerifyHostname(name) == nil {
			t.Errorf("%s: names %v", name, l.cert.DNSNames)
		}
	}
	if l, refused, err := k.Listener("orders-db.data.svc"); err != nil || len(refused) > 0 || l.cert.VerifyHostname("orders-db.data.svc") != nil {
		t.Errorf("an ordinary name: %v, %v", refused, err)
	}
}
