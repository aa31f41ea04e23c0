package datasource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// Secrets are the Secrets that DataSources name, as credential.Store reads them.
type Secrets interface {
	Want(ds *v1alpha1.DataSource)
	Forget(name types.NamespacedName)
	Get(ref credential.Ref) (*corev1.Secret, error)
}

// resolve reads every Secret that the spec names.
func (v *visit) resolve(context.Context) phase.Outcome {
	v.secrets.Want(v.ds)
	m, err := credential.Read(v.ds, v.secrets.Get)
	if err != nil {
		return unresolved(err)
	}
	v.material, v.versions = m, v.versionsOf()
	return phase.True(v1alpha1.ReasonResolved, "every Secret is there and usable")
}

// unresolved says what is wrong with Secrets. Of several mistakes, one that somebody has to cure names the reason.
func unresolved(err error) phase.Outcome {
	reason := credential.ReasonPending
	for _, e := range split(err) {
		if r := credential.Reason(e); r != credential.ReasonPending {
			reason = r
			break
		}
	}
	words := strings.ReplaceAll(err.Error(), "\n", "; ")
	if reason == credential.ReasonPending {
		return phase.Unknown(v1alpha1.ReasonPending, "%s", words).Again(lookAgainSoon)
	}
	return phase.False(reason, "%s", words).Again(lookAgainSoon)
}

func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// versionsOf names the versions of the Secrets: another version may be another credential.
func (v *visit) versionsOf() string {
	var out strings.Builder
	for _, ref := range credential.Refs(v.ds) {
		if secret, err := v.secrets.Get(ref); err == nil {
			out.WriteString(string(secret.UID) + "/" + secret.ResourceVersion + " ")
		}
	}
	return out.String()
}

// tlsConfig verifies as far as the spec's mode says; nil is clear text.
func tlsConfig(pg *v1alpha1.PostgresSource, m credential.Material) (*tls.Config, error) {
	if pg.TLS.Mode == v1alpha1.TLSDisable {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: pg.Host}
	if m.CA != nil {
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(m.CA) {
			return nil, errors.New("spec.postgres.tls.caSecretRef: its Secret holds no PEM certificate")
		}
	}
	if m.ClientCertificate != nil {
		pair, err := tls.X509KeyPair(m.ClientCertificate, m.ClientKey)
		if err != nil { // not told: it could quote the key
			return nil, errors.New("spec.postgres.tls.clientCertSecretRef: its Secret holds no certificate with its key")
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	switch pg.TLS.Mode {
	case v1alpha1.TLSRequire:
		cfg.InsecureSkipVerify = true // what the mode means: it keeps listeners out, not impostors
	case v1alpha1.TLSVerifyCA:
		verifyChainOnly(cfg)
	}
	return cfg, nil
}

// verifyChainOnly makes cfg check who certified the server and not its name.
func verifyChainOnly(cfg *tls.Config) {
	cfg.InsecureSkipVerify = true // VerifyConnection does what is left of it
	roots := cfg.RootCAs
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server showed no certificate")
		}
		rest := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			rest.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest})
		return err
	}
}
