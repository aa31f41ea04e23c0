package ledger

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SecretName is the Secret in the operator's namespace with the keys of log and recordings.
const SecretName = "tidewaiter-recordings"

// The keys of the Secret.
const (
	secretLog       = "log.key"       // of the log's checkpoints, as package note writes it
	secretRecording = "recording.key" // of attestations: PKCS #8 in PEM
)

// Keys are those of one cluster.
type Keys struct {
	// Signer and Verifier are of the log's checkpoints. Their name is the log's origin.
	Signer   note.Signer
	Verifier note.Verifier
	// Public is Verifier as it is published: name+hash+key.
	Public string
	// Recording signs attestations.
	Recording ed25519.PrivateKey
}

// LoadKeys reads the Secret, and makes it with new keys for a log of the origin where there is none. Replicas that do so at
// the same time have the same keys: the API server lets one of them win. The client must not read from a cache.
func LoadKeys(ctx context.Context, c client.Client, namespace, origin string) (*Keys, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName}}
	const attempts = 3
	for range attempts {
		err := c.Get(ctx, client.ObjectKeyFromObject(secret), secret)
		if apierrors.IsNotFound(err) {
			if secret.Data, err = newKeys(origin); err != nil {
				return nil, err
			}
			secret.Type, secret.Labels = corev1.SecretTypeOpaque, map[string]string{"app.kubernetes.io/name": "tidewaiter"}
			if err = c.Create(ctx, secret); apierrors.IsAlreadyExists(err) {
				continue // another replica was faster
			}
		}
		if err != nil {
			return nil, fmt.Errorf("Secret %s/%s: %w", namespace, SecretName, err)
		}
		k, err := parseKeys(secret.Data)
		if err != nil {
			return nil, fmt.Errorf("Secret %s/%s: %w: restore it from a backup", namespace, SecretName, err)
		}
		return k, nil
	}
	return nil, fmt.Errorf("Secret %s/%s: it is made and deleted by others", namespace, SecretName)
}

func newKeys(origin string) (map[string][]byte, error) {
	logKey, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		secretLog:       []byte(logKey),
		secretRecording: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}

// parseKeys tells nothing of what is in the Secret in its errors.
func parseKeys(data map[string][]byte) (*Keys, error) {
	signer, err := note.NewSigner(string(data[secretLog]))
	if err != nil {
		return nil, fmt.Errorf("%s is no key of a log", secretLog)
	}
	public, verifier, err := verifierOf(signer.Name(), string(data[secretLog]))
	if err != nil {
		return nil, fmt.Errorf("%s is no key of a log", secretLog)
	}
	block, _ := pem.Decode(data[secretRecording])
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", secretRecording)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is no Ed25519 key", secretRecording)
	}
	return &Keys{Signer: signer, Verifier: verifier, Public: public, Recording: key}, nil
}

// verifierOf returns the public half of a key that package note has written: PRIVATE+KEY+name+hash+base64, where the last is
// a byte for the algorithm, which NewSigner has looked at, and the seed.
func verifierOf(name, key string) (public string, v note.Verifier, err error) {
	parts := strings.SplitN(key, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", nil, errors.New("it has no seed")
	}
	of, _ := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if public, err = note.NewEd25519VerifierKey(name, of); err != nil {
		return "", nil, err
	}
	v, err = note.NewVerifier(public)
	return public, v, err
}

// RecordingPublic is the public key of attestations in PEM, as it is published.
func (k *Keys) RecordingPublic() (string, error) {
	public, ok := k.Recording.Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("the key of attestations is no Ed25519 key")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
