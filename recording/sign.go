package recording

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What is signed begins with one of these, so that no signature is good for something else.
const (
	signedSegment     = "tidewaiter.dev/recording/v2/segment\n"
	signedAttestation = "tidewaiter.dev/recording/v2/attestation\n"
	signedHeartbeat   = "tidewaiter.dev/recording/v2/heartbeat\n"
	signedProof       = "tidewaiter.dev/recording/v2/proof\n"
)

// ErrSignature is returned where a signature is not that of the key.
var ErrSignature = errors.New("recording: the signature is not of the key that it should be of")

// KeyID names a public key: its SHA-256.
type KeyID = Hash

// IDOf returns the name of a public key.
func IDOf(key ed25519.PublicKey) KeyID { return sha256.Sum256(key) }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads a hash of 64 hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("recording: a hash has %d hexadecimal digits, not %d", hex.EncodedLen(len(h)), len(b))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Signed is a statement in JSON, as the very bytes that were signed, and their Ed25519 signature (RFC 8032).
type Signed struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

func sign(key ed25519.PrivateKey, context string, statement any) (Signed, error) {
	b, err := json.Marshal(statement)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Statement: b, Signature: ed25519.Sign(key, append([]byte(context), b...))}, nil
}

func (s *Signed) open(key ed25519.PublicKey, context string, into any) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(context), s.Statement...), s.Signature) {
		return ErrSignature
	}
	return json.Unmarshal(s.Statement, into)
}

// Attestation is the operator's word for a sidecar's key: it has seen that the pod holds it. It is made when the sidecar's
// stream begins.
type Attestation struct {
	Namespace      string            `json:"namespace"`
	Pod            string            `json:"pod"`
	UID            string            `json:"uid"`
	ServiceAccount string            `json:"serviceAccount"`
	Node           string            `json:"node,omitempty"`
	Key            ed25519.PublicKey `json:"key"`
	Time           time.Time         `json:"time"`
}

// Prove shows that a sidecar holds the key that it wants attested: nobody else can have it attested for a pod of theirs.
func Prove(key ed25519.PrivateKey, instance string) []byte {
	return ed25519.Sign(key, []byte(signedProof+instance))
}

// Proven reports whether a proof is of a key.
func Proven(key ed25519.PublicKey, instance string, proof []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, []byte(signedProof+instance), proof)
}

// Attest signs an attestation with the operator's key.
func Attest(operator ed25519.PrivateKey, a *Attestation) (Signed, error) {
	return sign(operator, signedAttestation, a)
}

// OpenAttestation returns what an operator's key has attested. With a nil key the signature is not looked at.
func OpenAttestation(operator ed25519.PublicKey, s *Signed) (a Attestation, err error) {
	if operator == nil {
		err = json.Unmarshal(s.Statement, &a)
	} else {
		err = s.open(operator, signedAttestation, &a)
	}
	if err == nil && len(a.Key) != ed25519.PublicKeySize {
		err = errors.New("recording: the attestation has no Ed25519 key")
	}
	return a, err
}

// Heartbeat is a sidecar's word that it lives, and how much it has sealed: what is missing of that was taken away.
type Heartbeat struct {
	Key    KeyID     `json:"key"`
	Number uint64    `json:"number"` // of the heartbeat of this key, from 1
	Time   time.Time `json:"time"`
	// Every is how often one comes, in seconds.
	Every int `json:"every"`
	// Sealed is the serial of the last segment that the key has sealed, and Sum the running hash over the heads of all of
	// them: Sum(n) = SHA-256(Sum(n-1) ‖ statement of head n), Sum(0) = zeros.
	Sealed uint64 `json:"sealed"`
	Sum    Hash   `json:"sum"`
	// Open is how many sessions are open; Recording whether everything is being recorded (see onRecorderLoss).
	Open      int  `json:"open"`
	Recording bool `json:"recording"`
	// Last says that the sidecar stops: no more come.
	Last bool `json:"last,omitempty"`
}

// Beat signs a heartbeat with the sidecar's key.
func Beat(key ed25519.PrivateKey, h *Heartbeat) (Signed, error) { return sign(key, signedHeartbeat, h) }

// OpenHeartbeat returns what a sidecar's key has signed.
func OpenHeartbeat(key ed25519.PublicKey, s *Signed) (h Heartbeat, err error) {
	return h, s.open(key, signedHeartbeat, &h)
}

// NextSum is the running hash after the head of one more segment.
func NextSum(sum Hash, head *Signed) Hash {
	return sha256.Sum256(append(sum[:], head.Statement...))
}
