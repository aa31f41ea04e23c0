package credential

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// MaskKeyKey is the optional key, in the Secret of a DataSource's credentials, of
// the secret from which the key of the mask strategy Hash is derived. It has to be
// at least 16 bytes. `kubectl tidewaiter local` reads the same key in the same way.
const MaskKeyKey = "maskKey"

const (
	minMaskSecret = 16 // bytes
	maskKeySize   = 32 // bytes
	maxValue      = 64 << 10
)

// Reasons of an Error, as the condition ResolvedRefs gives them.
const (
	ReasonNotFound = v1alpha1.ReasonSecretNotFound
	ReasonInvalid  = v1alpha1.ReasonSecretInvalid
	// ReasonPending means that the Secret has not been read yet.
	ReasonPending = v1alpha1.ReasonPending
	// ReasonForbidden means that the operator may not read the Secret.
	ReasonForbidden = v1alpha1.ReasonSecretForbidden
)

// Error says what is wrong with a Secret that a DataSource names.
type Error struct {
	Reason  string
	Field   string // of the DataSource, such as spec.credentials.secretRef
	Secret  string // "namespace/name"
	Message string
}

// Error says which field, which Secret, what is wrong and what cures it.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: Secret %s %s", e.Field, e.Secret, e.Message)
}

// Reason of an error of this package; ReasonInvalid for any other.
func Reason(err error) string {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Reason
	}
	return ReasonInvalid
}

// Material is what the Secrets of a DataSource hold.
type Material struct {
	Username, Password string
	// CA is PEM; nil, the system's authorities.
	CA []byte
	// ClientCertificate and ClientKey are PEM; nil, none is shown.
	ClientCertificate, ClientKey []byte
	// ListenCertificate and ListenKey are PEM; nil, the owner has named none.
	ListenCertificate, ListenKey []byte
	// MaskKey is 32 bytes; nil, the owner has set none.
	MaskKey []byte
}

// String keeps the material out of logs, whatever the verb.
func (Material) String() string { return "credential.Material (not shown)" }

// GoString is String.
func (m Material) GoString() string { return m.String() }

// Ref names a Secret.
type Ref struct{ Namespace, Name string }

// String is "namespace/name".
func (r Ref) String() string { return r.Namespace + "/" + r.Name }

// Refs are the Secrets that a DataSource names, each once.
func Refs(ds *v1alpha1.DataSource) []Ref {
	var out []Ref
	add := func(name v1alpha1.ObjectName) {
		r := Ref{ds.Namespace, string(name)}
		for _, have := range out {
			if have == r {
				return
			}
		}
		out = append(out, r)
	}
	add(ds.Spec.Credentials.SecretRef.Name)
	if ds.Spec.Listen.TLSSecretRef != nil {
		add(ds.Spec.Listen.TLSSecretRef.Name)
	}
	if pg := ds.Spec.Postgres; pg != nil {
		if pg.TLS.CASecretRef != nil {
			add(pg.TLS.CASecretRef.Name)
		}
		if pg.TLS.ClientCertSecretRef != nil {
			add(pg.TLS.ClientCertSecretRef.Name)
		}
	}
	return out
}

// Getter returns a Secret, or an *Error without a Field. The Secret is not changed.
type Getter func(Ref) (*corev1.Secret, error)

// Read reads what a DataSource names. Its error joins an *Error for every mistake.
func Read(ds *v1alpha1.DataSource, get Getter) (Material, error) {
	r := reader{ds: ds, get: get}
	var m Material
	const credentials = "spec.credentials.secretRef"
	name := ds.Spec.Credentials.SecretRef.Name
	m.Username = string(r.value(credentials, name, v1alpha1.CredentialUsernameKey))
	m.Password = string(r.value(credentials, name, v1alpha1.CredentialPasswordKey))
	m.MaskKey = r.maskKey(credentials, name)
	if pg := ds.Spec.Postgres; pg != nil {
		if ref := pg.TLS.CASecretRef; ref != nil {
			m.CA = r.authorities("spec.postgres.tls.caSecretRef", ref.Name, ref.Key)
		}
		if ref := pg.TLS.ClientCertSecretRef; ref != nil {
			m.ClientCertificate, m.ClientKey = r.pair("spec.postgres.tls.clientCertSecretRef", ref.Name)
		}
	}
	if ref := ds.Spec.Listen.TLSSecretRef; ref != nil {
		m.ListenCertificate, m.ListenKey = r.pair("spec.listen.tlsSecretRef", ref.Name)
	}
	if err := errors.Join(r.errs...); err != nil {
		return Material{}, err
	}
	return m, nil
}

// reader collects mistakes, one for each Secret and field that cannot be had.
type reader struct {
	ds   *v1alpha1.DataSource
	get  Getter
	errs []error
	gone map[string]bool // field and Secret that were found missing
}

func (r *reader) fail(field string, ref Ref, reason, message string, args ...any) {
	r.errs = append(r.errs, &Error{Reason: reason, Field: field, Secret: ref.String(), Message: fmt.Sprintf(message, args...)})
}

func (r *reader) secret(field string, name v1alpha1.ObjectName) *corev1.Secret {
	ref := Ref{r.ds.Namespace, string(name)}
	key := field + " " + ref.Name
	if r.gone[key] {
		return nil
	}
	secret, err := r.get(ref)
	if err == nil {
		return secret
	}
	if r.gone == nil {
		r.gone = map[string]bool{}
	}
	r.gone[key] = true
	if e := (*Error)(nil); errors.As(err, &e) {
		r.fail(field, ref, e.Reason, "%s", e.Message)
	} else {
		r.fail(field, ref, ReasonPending, "could not be read: %v", err)
	}
	return nil
}

func (r *reader) value(field string, name v1alpha1.ObjectName, key string) []byte {
	secret := r.secret(field, name)
	if secret == nil {
		return nil
	}
	value := secret.Data[key]
	ref := Ref{r.ds.Namespace, string(name)}
	switch {
	case len(value) == 0:
		r.fail(field, ref, ReasonInvalid, "has nothing in its key %s: set it", key)
	case len(value) > maxValue:
		r.fail(field, ref, ReasonInvalid, "has more than %d bytes in its key %s", maxValue, key)
	default:
		return value
	}
	return nil
}

func (r *reader) authorities(field string, name v1alpha1.ObjectName, key string) []byte {
	value := r.value(field, name, key)
	if value == nil {
		return nil
	}
	if pool := x509.NewCertPool(); !onlyCertificates(value) || !pool.AppendCertsFromPEM(value) {
		r.fail(field, Ref{r.ds.Namespace, string(name)}, ReasonInvalid, "holds no PEM certificates in its key %s", key)
		return nil
	}
	return value
}

// onlyCertificates keeps a private key that somebody put beside its certificate
// from being handed to pods.
func onlyCertificates(value []byte) bool {
	for {
		block, rest := pem.Decode(value)
		if block == nil {
			return len(bytes.TrimSpace(rest)) == 0 || !bytes.Contains(rest, []byte("PRIVATE"))
		}
		if block.Type != "CERTIFICATE" {
			return false
		}
		value = rest
	}
}

func (r *reader) pair(field string, name v1alpha1.ObjectName) (certificate, key []byte) {
	certificate, key = r.value(field, name, corev1.TLSCertKey), r.value(field, name, corev1.TLSPrivateKeyKey)
	if certificate == nil || key == nil {
		return nil, nil
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil { // the cause could quote the key
		r.fail(field, Ref{r.ds.Namespace, string(name)}, ReasonInvalid, "has no PEM certificate and its key in tls.crt and tls.key")
		return nil, nil
	}
	return certificate, key
}

// maskKey derives the key of the strategy Hash. The data source's name goes into
// it, so that hashes of different data sources cannot be joined even where they
// share a Secret.
func (r *reader) maskKey(field string, name v1alpha1.ObjectName) []byte {
	secret := r.secret(field, name)
	if secret == nil || len(secret.Data[MaskKeyKey]) == 0 {
		return nil
	}
	if len(secret.Data[MaskKeyKey]) < minMaskSecret {
		r.fail(field, Ref{r.ds.Namespace, string(name)}, ReasonInvalid,
			"has less than %d bytes in its key %s: make one with `openssl rand -base64 32`", minMaskSecret, MaskKeyKey)
		return nil
	}
	key, err := hkdf.Key(sha256.New, secret.Data[MaskKeyKey], nil,
		"tidewaiter mask key "+r.ds.Namespace+"/"+r.ds.Name, maskKeySize)
	if err != nil {
		r.fail(field, Ref{r.ds.Namespace, string(name)}, ReasonInvalid, "gives no mask key from its key %s", MaskKeyKey)
		return nil
	}
	return key
}
