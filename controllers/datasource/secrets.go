package datasource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// material is what the Secrets hold. It lives as long as a visit.
type material struct {
	user, password string
	tls            *tls.Config // nil: clear text
	versions       string      // of the Secrets: another version may be another credential
}

// resolve reads every Secret that the spec refers to.
func (v *visit) resolve(ctx context.Context) phase.Outcome {
	var problem *unusable
	m, err := v.read(ctx)
	switch {
	case errors.As(err, &problem):
		// Nobody tells us when a Secret appears that we may not watch.
		return phase.False(problem.reason, "%s", problem.message).Again(lookAgainSoon)
	case err != nil:
		return phase.Retry(err)
	}
	v.material = *m
	return phase.True(v1alpha1.ReasonResolved, "every Secret is there and usable")
}

// unusable says what is wrong with a Secret. It never holds a value.
type unusable struct{ reason, message string }

func (u *unusable) Error() string { return u.message }

func (v *visit) read(ctx context.Context) (*material, error) {
	pg := v.ds.Spec.Postgres
	var m material
	err := errors.Join(
		m.credential(v.secret(ctx, "spec.credentials.secretRef", v.ds.Spec.Credentials.SecretRef.Name)),
		m.target(ctx, v, pg),
	)
	if ref := v.ds.Spec.Listen.TLSSecretRef; ref != nil {
		_, pairErr := pair(v.secret(ctx, "spec.listen.tlsSecretRef", ref.Name))
		err = errors.Join(err, pairErr)
	}
	if err != nil {
		return nil, err
	}
	return &m, nil
}

func (m *material) credential(s *found, err error) error {
	if err != nil {
		return err
	}
	user, err := s.value(v1alpha1.CredentialUsernameKey)
	if err != nil {
		return err
	}
	password, err := s.value(v1alpha1.CredentialPasswordKey)
	if err != nil {
		return err
	}
	m.user, m.password = string(user), string(password)
	m.versions += s.version()
	return nil
}

// target builds the TLS settings of the connection to the server.
func (m *material) target(ctx context.Context, v *visit, pg *v1alpha1.PostgresSource) error {
	if pg.TLS.Mode == v1alpha1.TLSDisable {
		return nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: pg.Host}
	if ref := pg.TLS.CASecretRef; ref != nil {
		s, err := v.secret(ctx, "spec.postgres.tls.caSecretRef", ref.Name)
		if err != nil {
			return err
		}
		pem, err := s.value(ref.Key)
		if err != nil {
			return err
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return s.invalid("its key %s holds no PEM certificate: put the authority's certificate there", ref.Key)
		}
		m.versions += s.version()
	}
	if ref := pg.TLS.ClientCertSecretRef; ref != nil {
		s, err := v.secret(ctx, "spec.postgres.tls.clientCertSecretRef", ref.Name)
		if err != nil {
			return err
		}
		certificate, err := pair(s, nil)
		if err != nil {
			return err
		}
		cfg.Certificates = []tls.Certificate{*certificate}
		m.versions += s.version()
	}
	m.tls = verifying(cfg, pg.TLS.Mode)
	return nil
}

// verifying makes cfg verify as far as the mode says.
func verifying(cfg *tls.Config, mode v1alpha1.TLSMode) *tls.Config {
	switch mode {
	case v1alpha1.TLSRequire:
		cfg.InsecureSkipVerify = true // what the mode means: it keeps listeners out, not impostors
	case v1alpha1.TLSVerifyCA:
		cfg.InsecureSkipVerify = true // but VerifyConnection checks who certified the server, if not its name
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
	return cfg
}

// found is a Secret and the field that refers to it.
type found struct {
	field  string
	secret *corev1.Secret
}

// secret reads one Secret by its name, in the DataSource's own namespace and no other.
func (v *visit) secret(ctx context.Context, field string, name v1alpha1.ObjectName) (*found, error) {
	s := &found{field: field, secret: &corev1.Secret{}}
	key := types.NamespacedName{Namespace: v.ds.Namespace, Name: string(name)}
	err := v.secrets.Get(ctx, key, s.secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &unusable{v1alpha1.ReasonSecretNotFound, fmt.Sprintf("%s: Secret %s does not exist: create it", field, key)}
	case apierrors.IsForbidden(err):
		return nil, &unusable{v1alpha1.ReasonSecretForbidden, fmt.Sprintf(
			"%s: the operator may not read Secret %s: allow it with a Role (verb get, resourceNames [%s]) and a RoleBinding in namespace %s, as config/samples/secret-access.yaml does",
			field, key, name, v.ds.Namespace)}
	case err != nil:
		return nil, fmt.Errorf("%s: read Secret %s: %w", field, key, err)
	}
	return s, nil
}

func (s *found) value(key string) ([]byte, error) {
	value := s.secret.Data[key]
	if len(value) == 0 {
		return nil, s.invalid("it has nothing in its key %s: set it", key)
	}
	return value, nil
}

func (s *found) invalid(format string, args ...any) error {
	return &unusable{v1alpha1.ReasonSecretInvalid, fmt.Sprintf("%s: Secret %s/%s: ", s.field, s.secret.Namespace, s.secret.Name) + fmt.Sprintf(format, args...)}
}

func (s *found) version() string { return string(s.secret.UID) + "/" + s.secret.ResourceVersion + " " }

// pair reads a certificate with its key.
func pair(s *found, err error) (*tls.Certificate, error) {
	if err != nil {
		return nil, err
	}
	certificate, err := s.value(corev1.TLSCertKey)
	if err != nil {
		return nil, err
	}
	key, err := s.value(corev1.TLSPrivateKeyKey)
	if err != nil {
		return nil, err
	}
	out, err := tls.X509KeyPair(certificate, key)
	if err != nil { // not told: it could quote the key
		return nil, s.invalid("its %s and %s are no certificate with its key: make both anew", corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return &out, nil
}
