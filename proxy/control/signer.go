package control

import (
	"crypto/ed25519"
	"crypto/x509"
	"time"
)

// bundleSigner is the common name of the certificate whose key signs bundles. Other leaves of the operator's CA, such as
// those of its servers, must not pass for it.
const bundleSigner = "tidewaiter-bundle"

// maxChain bounds the certificates of a chain, and maxCertificate the bytes of each.
const (
	maxChain       = 4
	maxCertificate = 16 << 10
)

// Signer returns the key by which the bundles of a snapshot are verified: that of the first certificate of a chain (DER, leaf
// first), if the chain leads to one of the roots at the time given, and the certificate is for signing bundles.
func Signer(chain [][]byte, roots *x509.CertPool, now time.Time) (ed25519.PublicKey, *Refusal) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, refuse(ReasonBundleSigner, "the snapshot has a chain of %d certificates for its bundles, and 1 to %d are needed", len(chain), maxChain)
	}
	certificates := make([]*x509.Certificate, 0, len(chain))
	rest := x509.NewCertPool()
	for i, der := range chain {
		if len(der) > maxCertificate {
			return nil, refuse(ReasonBundleSigner, "certificate %d of the bundles' signer is larger than %d bytes", i, maxCertificate)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse(ReasonBundleSigner, "certificate %d of the bundles' signer cannot be read: %v", i, err)
		}
		certificates = append(certificates, c)
		if i > 0 {
			rest.AddCert(c)
		}
	}
	leaf := certificates[0]
	if leaf.Subject.CommonName != bundleSigner {
		return nil, refuse(ReasonBundleSigner, "the bundles are signed by %q, who is not %s", leaf.Subject.CommonName, bundleSigner)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: rest, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return nil, refuse(ReasonBundleSigner, "the certificate of the bundles' signer: %v", err)
	}
	key, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, refuse(ReasonBundleSigner, "the key of the bundles' signer is %T, and Ed25519 is needed", leaf.PublicKey)
	}
	return key, nil
}
