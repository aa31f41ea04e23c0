package control

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func snap(revision uint64, seconds uint32, names ...string) *sidecarv1alpha1.Snapshot {
	s := &sidecarv1alpha1.Snapshot{Revision: revision, Lease: &sidecarv1alpha1.Lease{Seconds: seconds}}
	for _, n := range names {
		s.DataSources = append(s.DataSources, &sidecarv1alpha1.DataSource{Name: n})
	}
	return s
}

func TestASnapshotIsTakenOnlyIfItIsNewerAndMakesSense(t *testing.T) {
	var m Machine
	if _, ok := m.Leased(noon); ok {
		t.Error("without a snapshot there is a lease")
	}
	if _, refusal := m.Take(noon, snap(0, 60)); refusal == nil {
		t.Error("a snapshot without a revision was taken")
	}
	if gone, refusal := m.Take(noon, snap(7, 60, "data/a", "data/b")); refusal != nil || gone != nil {
		t.Fatalf("%v, gone %v", refusal, gone)
	}
	var many []string
	for i := range 33 {
		many = append(many, "data/"+strings.Repeat("x", i+1))
	}
	for want, s := range map[string]*sidecarv1alpha1.Snapshot{
		"snapshot 6 is not above 7":        snap(6, 60),
		"snapshot 7 is not above 7":        snap(7, 60),
		"has 33 data sources":              snap(8, 60, many...),
		"the snapshot has data source d/x": snap(8, 60, "d/x", "d/x"),
	} {
		if _, refusal := m.Take(noon, s); refusal == nil || !strings.Contains(refusal.Message, want) {
			t.Errorf("got %v, want %q", refusal, want)
		}
	}
	gone, refusal := m.Take(noon, snap(8, 60, "data/b", "data/c"))
	if refusal != nil || !slices.Equal(gone, []string{"data/a"}) || m.Revision() != 8 {
		t.Errorf("%v, gone %v, revision %d", refusal, gone, m.Revision())
	}
}

func TestALeaseCountsFromItsReceiptAndIsBounded(t *testing.T) {
	var m Machine
	m.Take(noon, snap(1, 60))
	at := func(d time.Duration) bool { _, ok := m.Leased(noon.Add(d)); return ok }
	if !at(59*time.Second) || at(60*time.Second) {
		t.Error("a lease of 60 s is not one of 60 s")
	}
	m.Renew(noon.Add(90*time.Second), &sidecarv1alpha1.Lease{Seconds: 60})
	if !at(149*time.Second) || at(150*time.Second) {
		t.Error("a renewed lease does not count from its receipt")
	}
	m.Renew(noon, &sidecarv1alpha1.Lease{Seconds: 1 << 31})
	if at(maxLease) {
		t.Error("a lease has no bound")
	}
	m.Renew(noon, nil)
	if at(0) {
		t.Error("a lease of no seconds holds")
	}
	m.Take(noon, snap(2, 0))
	if at(0) {
		t.Error("a snapshot without a lease gives one")
	}
}

func TestARevocationIsAboutOneOrAll(t *testing.T) {
	var m Machine
	m.Take(noon, snap(1, 60, "data/a", "data/b"))
	for name, want := range map[string][]string{"": {"data/a", "data/b"}, "data/b": {"data/b"}, "data/c": nil} {
		if got := m.Revoked(&sidecarv1alpha1.Revocation{DataSource: name}); !slices.Equal(got, want) {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestOnlyTheBundlesSignerIsBelieved(t *testing.T) {
	o, other := operatortest.Start(t), operatortest.Start(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(o.CA())
	good := o.Signer()
	key, refusal := Signer(good.Chain, roots, time.Now())
	if refusal != nil || !key.Equal(good.Key.Public()) {
		t.Fatalf("the right one: %v", refusal)
	}
	for _, c := range []struct {
		what  string
		chain [][]byte
		want  string
	}{
		{"nobody", nil, "a chain of 0 certificates"},
		{"too many", slices.Repeat(good.Chain, 5), "a chain of 5 certificates"},
		{"what is no certificate", [][]byte{[]byte("hello")}, "cannot be read"},
		{"what is too large", [][]byte{make([]byte, 20<<10)}, "larger than"},
		{"another CA's", other.Signer().Chain, "unknown authority"},
		{"the operator's server", o.Listener("tidewaiter-bundle").Chain, "incompatible key usage"},
		{"another name", o.Signer(func(c *x509.Certificate) { c.Subject.CommonName = "orders-db" }).Chain, `"orders-db", who is not tidewaiter-bundle`},
		{"an expired one", o.Signer(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).Chain, "expired"},
		{"one for nothing", o.Signer(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }).Chain, "incompatible key usage"},
	} {
		if key, refusal := Signer(c.chain, roots, time.Now()); key != nil || refusal == nil || refusal.Reason != ReasonBundleSigner || !strings.Contains(refusal.Message, c.want) {
			t.Errorf("%s: %v", c.what, refusal)
		}
	}
}

// told is a data source that can be served.
func told() *sidecarv1alpha1.DataSource {
	return &sidecarv1alpha1.DataSource{
		Name: "data/orders", Bundle: []byte("bundle"), Listen: &sidecarv1alpha1.Listen{Port: 5432}, MaskKey: make([]byte, 32),
		Credential: &sidecarv1alpha1.Credential{Username: "orders_app", Password: "canary"},
		Target: &sidecarv1alpha1.DataSource_Postgres{Postgres: &sidecarv1alpha1.Postgres{
			Host: "db", Port: 5432, Database: "orders", Tls: &sidecarv1alpha1.TLS{Mode: sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_FULL},
		}},
	}
}

func TestWhatIsToldOfRecordingsIsInTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		told                 *sidecarv1alpha1.Recording
		rows, digests, serve bool
		durability           record.Durability
	}{
		{told: nil},
		{told: &sidecarv1alpha1.Recording{Rows: true}, rows: true},
		{told: &sidecarv1alpha1.Recording{Digests: true, Serve: true}, digests: true, serve: true},
		{told: &sidecarv1alpha1.Recording{Rows: true, Digests: true, Asynchronous: true}, digests: true, durability: record.Async}, // the less of the two
	} {
		ds := told()
		ds.Recording = c.told
		p, refusal := PartOf(ds, nil)
		if got := p.Config; refusal != nil || got.Settings.RecordRows != c.rows || got.Settings.DigestRows != c.digests || (got.Loss == record.Serve) != c.serve || got.Durability != c.durability {
			t.Errorf("%v: %v, %+v", c.told, refusal, got.Settings)
		}
	}
}

func TestADataSourceWithAnythingMissingIsNotServed(t *testing.T) {
	if p, refusal := PartOf(told(), nil); refusal != nil || p.Config.Name() != "data/orders" || p.Config.Durability != 0 || p.Config.Settings.RecordRows {
		t.Fatalf("what is whole: %v", refusal)
	}
	pg := func(ds *sidecarv1alpha1.DataSource) *sidecarv1alpha1.Postgres { return ds.GetPostgres() }
	for what, change := range map[string]func(*sidecarv1alpha1.DataSource){
		"name":           func(ds *sidecarv1alpha1.DataSource) { ds.Name = "data/../../etc" },
		"no namespace":   func(ds *sidecarv1alpha1.DataSource) { ds.Name = "orders" },
		"target":         func(ds *sidecarv1alpha1.DataSource) { ds.Target = nil },
		"host":           func(ds *sidecarv1alpha1.DataSource) { pg(ds).Host = "" },
		"a socket":       func(ds *sidecarv1alpha1.DataSource) { pg(ds).Host = "/tmp" },
		"port":           func(ds *sidecarv1alpha1.DataSource) { pg(ds).Port = 0 },
		"a large port":   func(ds *sidecarv1alpha1.DataSource) { pg(ds).Port = 65536 + 5432 },
		"database":       func(ds *sidecarv1alpha1.DataSource) { pg(ds).Database = "" },
		"tls":            func(ds *sidecarv1alpha1.DataSource) { pg(ds).Tls = nil },
		"an unknown tls": func(ds *sidecarv1alpha1.DataSource) { pg(ds).Tls.Mode = 99 },
		"listen":         func(ds *sidecarv1alpha1.DataSource) { ds.Listen = nil },
		"credential":     func(ds *sidecarv1alpha1.DataSource) { ds.Credential = nil },
		"mask key":       func(ds *sidecarv1alpha1.DataSource) { ds.MaskKey = make([]byte, 16) },
		"certificate":    func(ds *sidecarv1alpha1.DataSource) { ds.Listen.PrivateKey = []byte("canary") },
	} {
		ds := told()
		change(ds)
		if _, refusal := PartOf(ds, nil); refusal == nil || refusal.Reason != ReasonSettingsInvalid || strings.Contains(refusal.Message, "canary") {
			t.Errorf("%s: %v", what, refusal)
		}
	}
}
