package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Keys of the Secret's data.
const (
	// TrustKey holds the roots that are trusted (PEM). It is the only value that
	// is not secret, and what the ConfigMaps of the same name hold.
	TrustKey = "ca.crt"
	rootsKey = "roots.pem" // certificate, key, certificate, key …; the newest first
	seedKey  = "seed"      // for Derive
)

// Times of a root's life. A root signs when it has been in the bundle for
// settle, which is far longer than a ConfigMap takes to reach a pod, and leaves the
// bundle when its last leaf has expired.
const (
	rootLifetime = 2 * 365 * 24 * time.Hour
	rootRotation = 365 * 24 * time.Hour
	settle       = 24 * time.Hour
	backdated    = 10 * time.Minute // for clocks that are behind ours
)

const (
	maxRoots = 8
	maxData  = 256 << 10 // bytes
	seedSize = 32        // bytes
)

// root is a self-signed certificate with its key.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Authority is what the Secret holds. It does not change; Next returns another.
// It is safe for concurrent use.
type Authority struct {
	roots []root // the newest first; at least one
	seed  []byte
}

// New makes an authority with one root, which signs at once.
func New(now time.Time) (*Authority, error) {
	first, err := newRoot(now)
	if err != nil {
		return nil, err
	}
	seed := make([]byte, seedSize)
	_, _ = rand.Read(seed) // never fails: it ends the program instead
	return &Authority{roots: []root{first}, seed: seed}, nil
}

func newRoot(now time.Time) (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return root{}, fmt.Errorf("authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		// The time in the name keeps chains apart: two roots of one name would be
		// tried in turn by every verifier.
		Subject:               pkix.Name{CommonName: "tidewaiter-ca-" + now.UTC().Format("20060102T150405Z")},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(rootLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return root{}, fmt.Errorf("authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return root{}, fmt.Errorf("authority: %w", err)
	}
	return root{cert: cert, key: key}, nil
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails, see crypto/rand
	return n
}

// Parse reads the data of the Secret. Errors name keys, never values.
func Parse(data map[string][]byte) (*Authority, error) {
	if len(data[seedKey]) != seedSize {
		return nil, fmt.Errorf("key %s is not %d bytes", seedKey, seedSize)
	}
	if len(data[rootsKey]) > maxData {
		return nil, fmt.Errorf("key %s is larger than %d bytes", rootsKey, maxData)
	}
	a := &Authority{seed: bytes.Clone(data[seedKey])}
	for rest := data[rootsKey]; len(bytes.TrimSpace(rest)) > 0; {
		r, after, err := parseRoot(rest)
		if err != nil {
			return nil, fmt.Errorf("key %s: root %d: %w", rootsKey, len(a.roots)+1, err)
		}
		if a.roots = append(a.roots, r); len(a.roots) > maxRoots {
			return nil, fmt.Errorf("key %s holds more than %d roots", rootsKey, maxRoots)
		}
		rest = after
	}
	if len(a.roots) == 0 {
		return nil, fmt.Errorf("key %s holds no root", rootsKey)
	}
	return a, nil
}

var errRoot = errors.New("is not a certificate authority's certificate followed by its key")

func parseRoot(data []byte) (root, []byte, error) {
	certBlock, rest := pem.Decode(data)
	if certBlock == nil || certBlock.Type != "CERTIFICATE" {
		return root{}, nil, errRoot
	}
	keyBlock, rest := pem.Decode(rest)
	if keyBlock == nil || keyBlock.Type != "PRIVATE KEY" {
		return root{}, nil, errRoot
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil || !cert.IsCA {
		return root{}, nil, errRoot
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil { // the cause could tell of the key
		return root{}, nil, errRoot
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return root{}, nil, errRoot
	}
	return root{cert: cert, key: key}, rest, nil
}

// Data is what Parse reads: the data of the Secret.
func (a *Authority) Data() (map[string][]byte, error) {
	var out bytes.Buffer
	for _, r := range a.roots {
		der, err := x509.MarshalPKCS8PrivateKey(r.key)
		if err != nil {
			return nil, fmt.Errorf("authority: %w", err)
		}
		out.Write(certificatePEM(r.cert.Raw))
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	return map[string][]byte{TrustKey: a.TrustBundle(), rootsKey: out.Bytes(), seedKey: bytes.Clone(a.seed)}, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TrustBundle is every root that is to be trusted (PEM), the newest first.
func (a *Authority) TrustBundle() []byte {
	var out bytes.Buffer
	for _, r := range a.roots {
		out.Write(certificatePEM(r.cert.Raw))
	}
	return out.Bytes()
}

// Pool is the TrustBundle for crypto/tls.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, r := range a.roots {
		pool.AddCert(r.cert)
	}
	return pool
}

// Next returns the authority that is due, and whether it differs: with a new root
// when the newest one is due for rotation, without those that have signed no leaf
// that could still be valid.
func (a *Authority) Next(now time.Time) (*Authority, bool, error) {
	next := &Authority{seed: a.seed, roots: a.needed(now)}
	changed := len(next.roots) != len(a.roots)
	if len(next.roots) == 0 || now.Sub(born(next.roots[0])) >= rootRotation {
		fresh, err := newRoot(now)
		if err != nil {
			return nil, false, err
		}
		next.roots, changed = append([]root{fresh}, next.roots...), true
	}
	return next, changed, nil
}

// needed are the roots that sign, will sign, or signed a leaf that may be in use.
func (a *Authority) needed(now time.Time) []root {
	var out []root
	for i, r := range a.roots {
		superseded := i > 0 && now.Sub(born(a.roots[i-1])) >= settle+leafLifetime+settle
		if !superseded && now.Before(r.cert.NotAfter) {
			out = append(out, r)
		}
	}
	return out
}

func born(r root) time.Time { return r.cert.NotBefore.Add(backdated) }

// signer is the newest root that everybody has had time to learn of or, if there
// is none, the oldest: the first root of a cluster signs at once.
func (a *Authority) signer(now time.Time) root {
	for _, r := range a.roots {
		if now.Sub(born(r)) >= settle && now.Before(r.cert.NotAfter) {
			return r
		}
	}
	return a.roots[len(a.roots)-1]
}

// Derive returns 32 bytes that belong to the name, the same in every replica and
// after every rotation, and that tell nothing of those of another name. It keys
// masks: equal values get equal hashes in all pods of a data source.
func (a *Authority) Derive(name string) []byte {
	mac := hmac.New(sha256.New, a.seed)
	mac.Write([]byte("tidewaiter derive\x00" + name))
	return mac.Sum(nil)
}

// same reports whether both hold the same roots and seed.
func (a *Authority) same(b *Authority) bool {
	if a == nil || b == nil || len(a.roots) != len(b.roots) || !hmac.Equal(a.seed, b.seed) {
		return false
	}
	for i := range a.roots {
		if !a.roots[i].cert.Equal(b.roots[i].cert) {
			return false
		}
	}
	return true
}

// signed reports whether a certificate was signed by the root that signs now.
func (a *Authority) signed(leaf *x509.Certificate, now time.Time) bool {
	return bytes.Equal(leaf.RawIssuer, a.signer(now).cert.RawSubject)
}
