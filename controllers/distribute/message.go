package distribute

import (
	"fmt"
	"maps"
	"slices"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// maxMessage bounds a message in each direction, as the protocol does.
const (
	maxSent     = 16 << 20
	maxReceived = 1 << 20
	maxBundle   = 8 << 20
)

// message is a data source as the protocol has it.
func (f *factory) message(id identity, c claimed, bundle []byte) (*sidecarv1alpha1.DataSource, error) {
	if len(bundle) == 0 || len(bundle) > maxBundle {
		return nil, fmt.Errorf("the bundle of DataSource %s has %d bytes, of at most %d: it has too many rules", c.name, len(bundle), maxBundle)
	}
	m := &sidecarv1alpha1.DataSource{
		Name: c.name.String(), Bundle: bundle,
		Credential: &sidecarv1alpha1.Credential{Username: c.material.Username, Password: c.material.Password},
		Recording: &sidecarv1alpha1.Recording{
			Rows:         c.ds.Spec.Recording.Rows != v1alpha1.RecordRowsNone && c.ds.Spec.Recording.Rows != v1alpha1.RecordRowsDigests,
			Digests:      c.ds.Spec.Recording.Rows == v1alpha1.RecordRowsDigests,
			Serve:        c.ds.Spec.Recording.OnRecorderLoss == v1alpha1.RecorderLossServe,
			Asynchronous: c.ds.Spec.Recording.Durability == v1alpha1.DurabilityAsync,
		},
		Identity: &sidecarv1alpha1.Identity{
			Namespace: id.pod.Namespace, Pod: id.pod.Name, PodUid: string(id.pod.UID),
			ServiceAccount: id.pod.Spec.ServiceAccountName, Labels: maps.Clone(id.pod.Labels),
		},
		MaskKey: c.material.MaskKey,
	}
	for _, signature := range c.ds.Spec.Functions.Trusted {
		m.TrustedFunctions = append(m.TrustedFunctions, string(signature))
	}
	for _, entry := range c.ds.Spec.Classifications {
		m.Classifications = append(m.Classifications, &sidecarv1alpha1.Classification{
			Columns: texts(entry.Columns), Tags: texts(entry.Tags),
		})
	}
	for _, q := range c.ds.Status.Acquired {
		m.Acquired = append(m.Acquired, &sidecarv1alpha1.AcquiredTags{
			Relation: uint32(q.Relation), Number: q.Column, Schema: q.Schema, Name: q.Name, Tags: slices.Clone(q.Tags),
		})
	}
	if m.MaskKey == nil {
		key, err := f.authority.Derive("mask key of " + c.name.String())
		if err != nil {
			return nil, err
		}
		m.MaskKey = key
	}
	var err error
	if m.Listen, err = f.listen(c); err != nil {
		return nil, err
	}
	return m, target(m, c)
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// target says where the data source is.
func target(m *sidecarv1alpha1.DataSource, c claimed) error {
	pg := c.ds.Spec.Postgres
	if c.ds.Spec.Protocol != v1alpha1.ProtocolPostgres || pg == nil {
		return fmt.Errorf("DataSource %s: spec.protocol %q is not served by this operator", c.name, c.ds.Spec.Protocol)
	}
	m.Target = &sidecarv1alpha1.DataSource_Postgres{Postgres: &sidecarv1alpha1.Postgres{
		Host: pg.Host, Port: uint32(pg.Port), Database: pg.Database,
		Tls: &sidecarv1alpha1.TLS{
			Mode: tlsMode(pg.TLS.Mode), Ca: c.material.CA,
			CertificateChain: c.material.ClientCertificate, PrivateKey: c.material.ClientKey,
		},
	}}
	return nil
}

// tlsMode is verify-full for everything that is not one of the milder three.
func tlsMode(mode v1alpha1.TLSMode) sidecarv1alpha1.TLSMode {
	switch mode {
	case v1alpha1.TLSDisable:
		return sidecarv1alpha1.TLSMode_TLS_MODE_DISABLE
	case v1alpha1.TLSRequire:
		return sidecarv1alpha1.TLSMode_TLS_MODE_REQUIRE
	case v1alpha1.TLSVerifyCA:
		return sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_CA
	default:
		return sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_FULL
	}
}

// listen says where the sidecar listens, with the owner's certificate or one of our
// authority for the names by which applications know the data source.
func (f *factory) listen(c claimed) (*sidecarv1alpha1.Listen, error) {
	out := &sidecarv1alpha1.Listen{Port: uint32(c.ds.Spec.Listen.Port)}
	if c.material.ListenCertificate != nil {
		out.CertificateChain, out.PrivateKey = c.material.ListenCertificate, c.material.ListenKey
		return out, nil
	}
	leaf, _, err := f.authority.Listener(listenerNames(c.ds)...)
	if err != nil {
		return nil, err
	}
	out.CertificateChain = leaf.CertificatePEM()
	out.PrivateKey, err = leaf.KeyPEM()
	return out, err
}

func listenerNames(ds *v1alpha1.DataSource) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if pg := ds.Spec.Postgres; pg != nil && !slices.Contains(names, pg.Host) {
		names = append(names, pg.Host)
	}
	return names
}
