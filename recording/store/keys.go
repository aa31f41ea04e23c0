package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"filippo.io/age"
)

// maxKey bounds what is read as a session's key, in bytes. A KMS takes at most 4 KiB of plain text.
const maxKey = 16 << 10

// ErrNoUnwrapper is returned for a session whose key is wrapped by one that was not given.
var ErrNoUnwrapper = errors.New("store: the session's key is wrapped, and the key to unwrap it was not given: see --recordings-key")

// Unwrapper decrypts what a key of the operator's has encrypted, as *secrets.Keeper of gocloud.dev does.
type Unwrapper interface {
	Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error)
}

// Wrapper encrypts as well.
type Wrapper interface {
	Unwrapper
	Encrypt(ctx context.Context, plaintext []byte) ([]byte, error)
}

// wrapped is the object of a session's key.
type wrapped struct {
	Version int    `json:"version"`
	Wrapped []byte `json:"wrapped"`
}

// sessionKey is what is wrapped. It names the session, so that the key of one cannot be put in the place of another's, and it
// is wrapped where the session was erased, so that only who has the operator's key can say so.
type sessionKey struct {
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
	Session   string `json:"session"`
	Identity  string `json:"identity,omitempty"` // AGE-SECRET-KEY-1…; empty where it was erased
}

const keyVersion = 1

// SetUnwrapper gives the bucket what its sessions' keys are unwrapped by. It is called before the bucket is used.
func (b *Bucket) SetUnwrapper(u Unwrapper) { b.unwrapper = u }

// WrapKey returns what is stored as the key of a session.
func WrapKey(ctx context.Context, w Wrapper, s Session, id *age.X25519Identity) ([]byte, error) {
	return wrapKey(ctx, w, sessionKey{Namespace: s.Namespace, UID: s.UID, Session: s.ID, Identity: id.String()})
}

// WrapErased returns what is stored in the place of the key of a session that was erased: who goes on with the session must
// not make a new key for it.
func WrapErased(ctx context.Context, w Wrapper, s Session) ([]byte, error) {
	return wrapKey(ctx, w, sessionKey{Namespace: s.Namespace, UID: s.UID, Session: s.ID})
}

func wrapKey(ctx context.Context, w Wrapper, k sessionKey) ([]byte, error) {
	plain, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	sealed, err := w.Encrypt(ctx, plain)
	clear(plain)
	if err != nil {
		return nil, fmt.Errorf("store: wrapping the session's key: %w", err)
	}
	return json.Marshal(wrapped{Version: keyVersion, Wrapped: sealed})
}

// Identity returns the key that the session's segments are encrypted to. The error is ErrErased where it was deleted.
func (b *Bucket) Identity(ctx context.Context, s Session) (age.Identity, error) {
	id, err := b.SessionIdentity(ctx, s)
	if err != nil {
		return nil, err // not a nil pointer that is no nil interface
	}
	return id, nil
}

// SessionIdentity is Identity, of which the recipient can be had too. The error says with ErrErased that the session was erased,
// and with ErrNotFound, beside, that nothing is left in the key's place.
func (b *Bucket) SessionIdentity(ctx context.Context, s Session) (*age.X25519Identity, error) {
	if !s.Valid() {
		return nil, errors.New("store: the names of the session cannot be those of an object")
	}
	raw, err := b.Get(ctx, s.Key(), maxKey)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w (%w)", ErrErased, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if b.unwrapper == nil {
		return nil, ErrNoUnwrapper
	}
	var w wrapped
	if err := json.Unmarshal(raw, &w); err != nil || w.Version != keyVersion {
		return nil, fmt.Errorf("store: %s is no key that is known here", s.Key())
	}
	plain, err := b.unwrapper.Decrypt(ctx, w.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("store: unwrapping %s: %w", s.Key(), err)
	}
	defer clear(plain)
	var k sessionKey
	if err := json.Unmarshal(plain, &k); err != nil { // which would quote it
		return nil, fmt.Errorf("store: what %s wraps is no key", s.Key())
	}
	if k.Namespace != s.Namespace || k.UID != s.UID || k.Session != s.ID {
		return nil, fmt.Errorf("store: %s is the key of another session: it was put there", s.Key())
	}
	if k.Identity == "" {
		return nil, ErrErased
	}
	id, err := age.ParseX25519Identity(k.Identity)
	if err != nil {
		return nil, fmt.Errorf("store: what %s wraps is no key", s.Key())
	}
	return id, nil
}
