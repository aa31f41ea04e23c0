package distribute

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
)

func TestASidecarGetsWhatItsPodMayUse(t *testing.T) {
	s := start(t, nil).shop(t)
	s.dataSource(t, "other") // of which the pod knows nothing
	s.policy(t, "others", "other")
	pod := s.pod(t, "report", "orders")
	c := s.connect(t, pod)
	snap := c.snapshot(true)
	if len(snap.GetDataSources()) != 1 || snap.GetLease().GetSeconds() != 60 {
		t.Fatalf("%d data sources, lease %v", len(snap.GetDataSources()), snap.GetLease())
	}
	ds := snap.GetDataSources()[0]
	pg := ds.GetPostgres()
	if ds.GetName() != s.data+"/orders" || pg.GetHost() != "orders-db.data.svc" || pg.GetPort() != 5432 || pg.GetDatabase() != "orders" ||
		pg.GetTls().GetMode() != sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_FULL {
		t.Errorf("target: %s %v", ds.GetName(), pg)
	}
	if ds.GetCredential().GetUsername() != "app" || ds.GetCredential().GetPassword() != canary {
		t.Error("the credential is not the Secret's")
	}
	if len(ds.GetMaskKey()) != 32 || len(ds.GetClassifications()) != 1 || ds.GetListen().GetPort() != 5432 || !ds.GetRecording().GetRows() {
		t.Errorf("settings: %d bytes of mask key, %v, %v, %v", len(ds.GetMaskKey()), ds.GetClassifications(), ds.GetListen().GetPort(), ds.GetRecording())
	}
	if id := ds.GetIdentity(); id.GetPodUid() != string(pod.UID) || id.GetServiceAccount() != "default" || id.GetLabels()["app"] != "report" {
		t.Errorf("identity: %v", id)
	}
	checkBundle(t, s.keeper, snap, ds.GetBundle(), string(pod.UID))
	checkListener(t, s.keeper, ds.GetListen())

	eventually(t, "the Session", func() bool {
		st := s.session(t, "report", "orders").Status
		return st.State == v1alpha1.SessionIdle && st.Revision > 0 && len(st.Policies) == 1 && st.Policies[0].Generation == 1 &&
			st.DataSourceGeneration == 1 && st.Replica == "operator-0"
	})
	got := s.session(t, "report", "orders")
	if len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != pod.UID || got.Labels[v1alpha1.LabelDataSourceName] != "orders" {
		t.Errorf("owner %v, labels %v", got.OwnerReferences, got.Labels)
	}
}

// checkBundle verifies a bundle as a sidecar does.
func checkBundle(t *testing.T, keeper *authority.Keeper, snap *sidecarv1alpha1.Snapshot, raw []byte, audience string) {
	t.Helper()
	leaf, err := x509.ParseCertificate(snap.GetBundleSigners()[0])
	must(t, err)
	a, err := keeper.Current()
	must(t, err)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}); err != nil {
		t.Errorf("the bundle's signer: %v", err)
	}
	key, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok || leaf.Subject.CommonName != authority.BundleSignerName {
		t.Fatalf("the signer is %s with a %T", leaf.Subject, leaf.PublicKey)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	must(t, err)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	config := bundle.NewVerificationConfig(map[string]*bundle.KeyConfig{
		compile.KeyID: {Key: public, Algorithm: compile.SigningAlgorithm},
	}, compile.KeyID, "", nil)
	b, err := bundle.NewReader(bytes.NewReader(raw)).WithBundleVerificationConfig(config).Read()
	must(t, err)
	if b.Manifest.Metadata["audience"] != audience {
		t.Errorf("audience %v", b.Manifest.Metadata["audience"])
	}
	notAfter, err := time.Parse(time.RFC3339, b.Manifest.Metadata["notAfter"].(string))
	if left := time.Until(notAfter); err != nil || left < 20*time.Hour || left > 24*time.Hour {
		t.Errorf("valid for %v (%v)", left, err)
	}
}

// checkListener verifies what applications are shown.
func checkListener(t *testing.T, keeper *authority.Keeper, l *sidecarv1alpha1.Listen) {
	t.Helper()
	pair, err := tls.X509KeyPair(l.GetCertificateChain(), l.GetPrivateKey())
	must(t, err)
	a, err := keeper.Current()
	must(t, err)
	for _, name := range []string{"localhost", "127.0.0.1", "orders-db.data.svc"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: name}); err != nil {
			t.Error(err)
		}
	}
}
