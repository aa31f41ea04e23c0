// Package verify is what `kubectl tidewaiter verify` needs around package recording/audit: the public keys and checkpoints that an
// installation publishes, the checkpoints that this machine has seen, and how findings look.
//
// It must not know flags, nor what is checked.
package verify

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tidewaiter/tidewaiter/recording/audit"
)

// ConfigMap is what the operator publishes of its log, in its namespace.
const ConfigMap = "tidewaiter-log"

// Keys of the ConfigMap.
const (
	keyCheckpoint = "checkpoint"
	keyCosigned   = "cosigned"
	keyVerifier   = "verifier"
	keyRecording  = "recording"
)

// Keys are what recordings and the log are verified by.
type Keys struct {
	Operator ed25519.PublicKey
	LogKey   string
	Views    []audit.View
}

// Published reads what an installation publishes. Whoever can write the ConfigMap can exchange the keys: an auditor who trusts
// nobody in the cluster keeps the keys, and gives them.
func Published(ctx context.Context, kube kubernetes.Interface, namespace string) (k Keys, err error) {
	m, err := kube.CoreV1().ConfigMaps(namespace).Get(ctx, ConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return k, fmt.Errorf("there is no ConfigMap %s/%s, which has the keys to verify by: the operator keeps no recordings, or runs elsewhere (--operator-namespace); or give --operator-key and --log-key", namespace, ConfigMap)
	case apierrors.IsForbidden(err):
		return k, fmt.Errorf("you may not read ConfigMap %s/%s, which has the keys to verify by: ask for get on it, or give --operator-key and --log-key: %w", namespace, ConfigMap, err)
	case err != nil:
		return k, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, ConfigMap, err)
	}
	if text := m.Data[keyRecording]; text != "" {
		if k.Operator, err = ParseOperatorKey(text); err != nil {
			return k, fmt.Errorf("ConfigMap %s/%s: %s: %w", namespace, ConfigMap, keyRecording, err)
		}
	}
	k.LogKey = strings.TrimSpace(m.Data[keyVerifier])
	for key, name := range map[string]string{keyCheckpoint: "the ConfigMap", keyCosigned: "the ConfigMap, cosigned by witnesses"} {
		if note := m.Data[key]; note != "" {
			k.Views = append(k.Views, audit.View{Name: name, Note: []byte(note)})
		}
	}
	return k, nil
}

// ParseOperatorKey reads an Ed25519 public key: PEM (PKIX), or base64 of its 32 bytes.
func ParseOperatorKey(text string) (ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	if block, _ := pem.Decode([]byte(text + "\n")); block != nil {
		any, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM holds no public key")
		}
		key, ok := any.(ed25519.PublicKey)
		if !ok {
			return nil, errors.New("the PEM holds a public key that is not of Ed25519")
		}
		return key, nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.New("it is neither a public key in PEM nor base64 of 32 bytes")
	}
	return b, nil
}
