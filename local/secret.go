package local

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
)

// MaskKeyKey is the optional key, in the Secret of a DataSource's credentials, of the secret from which the key of the mask
// strategy Hash is derived: with it, equal values give equal hashes in every run. It has to be at least 16 bytes. Without
// it the key is random and gone with the process, so that hashes of one run tell nothing in the next.
const MaskKeyKey = "maskKey"

const (
	minMaskSecret = 16 // bytes
	maskKeySize   = 32 // bytes
)

// vault finds the secrets of one data source in the manifests. Its errors name keys and never values.
type vault struct {
	set *manifest.Set
	ds  *v1alpha1.DataSource
}

// secret returns a Secret of the data source's namespace, or nil.
func (v vault) secret(name string) *corev1.Secret {
	for i := range v.set.Secrets {
		if s := &v.set.Secrets[i]; s.Namespace == v.ds.Namespace && s.Name == name {
			return s
		}
	}
	return nil
}

// value returns a key of a Secret; field says who refers to it.
func (v vault) value(field, name, key string) ([]byte, error) {
	secret := v.secret(name)
	if secret == nil {
		return nil, fmt.Errorf("DataSource %s: %s: Secret %s/%s is not in the manifests: add its file to -f", nameOf(v.ds), field, v.ds.Namespace, name)
	}
	value := secret.Data[key]
	if len(value) == 0 {
		return nil, fmt.Errorf("DataSource %s: %s: Secret %s/%s has nothing in its key %s: set it", nameOf(v.ds), field, v.ds.Namespace, name, key)
	}
	return value, nil
}

// target is where the data source is.
func (v vault) target() (upstream.Options, error) {
	pg := v.ds.Spec.Postgres
	if pg == nil {
		return upstream.Options{}, fmt.Errorf("DataSource %s: spec.postgres is not set: add host and database", nameOf(v.ds))
	}
	o := upstream.Options{Host: pg.Host, Port: uint16(pg.Port), Database: pg.Database, Mode: upstream.Mode(pg.TLS.Mode)}
	var err error
	if ref := pg.TLS.CASecretRef; ref != nil {
		if o.CA, err = v.value("spec.postgres.tls.caSecretRef", string(ref.Name), ref.Key); err != nil {
			return upstream.Options{}, err
		}
	}
	if ref := pg.TLS.ClientCertSecretRef; ref != nil {
		o.ClientCertificate, o.ClientKey, err = v.pair("spec.postgres.tls.clientCertSecretRef", string(ref.Name))
	}
	return o, err
}

// credential is the one given or, where that is nil, the Secret's.
func (v vault) credential(given *session.Credential) (session.Credential, error) {
	if given != nil {
		return *given, nil
	}
	const field = "spec.credentials.secretRef"
	name := string(v.ds.Spec.Credentials.SecretRef.Name)
	user, err := v.value(field, name, v1alpha1.CredentialUsernameKey)
	if err != nil {
		return session.Credential{}, err
	}
	password, err := v.value(field, name, v1alpha1.CredentialPasswordKey)
	return session.Credential{User: string(user), Password: string(password)}, err
}

// pair returns certificate and key of a Secret of type kubernetes.io/tls.
func (v vault) pair(field, name string) (certificate, key []byte, err error) {
	if certificate, err = v.value(field, name, corev1.TLSCertKey); err != nil {
		return nil, nil, err
	}
	key, err = v.value(field, name, corev1.TLSPrivateKeyKey)
	return certificate, key, err
}

// certificate is shown to clients; nil means that there is none.
func (v vault) certificate() (*tls.Certificate, error) {
	ref := v.ds.Spec.Listen.TLSSecretRef
	if ref == nil {
		return nil, nil
	}
	const field = "spec.listen.tlsSecretRef"
	certificate, key, err := v.pair(field, string(ref.Name))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil { // the cause could quote the key
		return nil, fmt.Errorf("DataSource %s: %s: tls.crt and tls.key of Secret %s/%s are not a PEM certificate and its key", nameOf(v.ds), field, v.ds.Namespace, ref.Name)
	}
	return &pair, nil
}

// maskKey derives the key of the strategy Hash, see MaskKeyKey. The data source's name goes into it, so that hashes of
// different data sources cannot be joined even where they share a Secret.
func (v vault) maskKey() ([]byte, error) {
	name := string(v.ds.Spec.Credentials.SecretRef.Name)
	secret := v.secret(name)
	if secret == nil || len(secret.Data[MaskKeyKey]) == 0 {
		key := make([]byte, maskKeySize)
		_, _ = rand.Read(key) // never fails: it ends the program instead
		return key, nil
	}
	if len(secret.Data[MaskKeyKey]) < minMaskSecret {
		return nil, fmt.Errorf("Secret %s/%s: %s is shorter than %d bytes: make one with `openssl rand -base64 32`", v.ds.Namespace, name, MaskKeyKey, minMaskSecret)
	}
	return hkdf.Key(sha256.New, secret.Data[MaskKeyKey], nil, "tidewaiter mask key "+nameOf(v.ds), maskKeySize)
}
