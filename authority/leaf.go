package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// BundleSignerName is the common name of the leaf that signs policy bundles.
const BundleSignerName = "tidewaiter-bundle"

// leafLifetime is how long a leaf is valid. It is renewed when half of that is
// over.
const leafLifetime = 7 * 24 * time.Hour

// maxNames bounds the names of a leaf.
const maxNames = 64

// Leaf is a certificate with its key, in this process's memory only.
type Leaf struct {
	// Chain is DER, the leaf first. The root is not in it: who verifies has it.
	Chain [][]byte
	// Key is an *ecdsa.PrivateKey or, for bundles, an ed25519.PrivateKey.
	Key crypto.Signer
	// NotAfter is when it expires.
	NotAfter time.Time

	cert *x509.Certificate
}

// CertificatePEM is the chain as PEM.
func (l *Leaf) CertificatePEM() []byte {
	var out []byte
	for _, der := range l.Chain {
		out = append(out, certificatePEM(der)...)
	}
	return out
}

// KeyPEM is the private key as PEM (PKCS #8).
func (l *Leaf) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(l.Key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// TLS is the leaf as crypto/tls takes it.
func (l *Leaf) TLS() *tls.Certificate {
	return &tls.Certificate{Certificate: l.Chain, PrivateKey: l.Key, Leaf: l.cert}
}

// due reports whether it is time to make another.
func (l *Leaf) due(now time.Time) bool {
	return !now.Before(l.NotAfter.Add(-leafLifetime / 2))
}

// Serving makes a leaf for a server of those names: DNS names and IP addresses.
func (a *Authority) Serving(names []string, now time.Time) (*Leaf, error) {
	if len(names) == 0 || len(names) > maxNames {
		return nil, fmt.Errorf("authority: a serving certificate has 1 to %d names, not %d", maxNames, len(names))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"tidewaiter"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if name == "" {
			return nil, errors.New("authority: an empty name")
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue(template, key, now)
}

// BundleSigner makes the leaf whose Ed25519 key signs policy bundles.
func (a *Authority) BundleSigner(now time.Time) (*Leaf, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: BundleSignerName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, key, now)
}

func (a *Authority) issue(template *x509.Certificate, key crypto.Signer, now time.Time) (*Leaf, error) {
	by := a.signer(now)
	template.SerialNumber = serial()
	template.NotBefore = now.Add(-backdated)
	template.NotAfter = now.Add(leafLifetime)
	if template.NotAfter.After(by.cert.NotAfter) {
		template.NotAfter = by.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return &Leaf{Chain: [][]byte{der}, Key: key, NotAfter: cert.NotAfter, cert: cert}, nil
}
