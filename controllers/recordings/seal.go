package recordings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// forEver is how long objects are locked where sessions are kept for ever: the longest retention that a DataSource may have.
const forEver = 876_000 * time.Hour

// recipientAge is how long a session's key is taken to be there: another replica may have erased it.
const recipientAge = 5 * time.Minute

// encrypt returns the object of a segment.
func (s *Store) encrypt(ctx context.Context, state *state, seg *recording.Segment) (data []byte, rejected string, err error) {
	// With the last segment it is asked again: what is then in the index stays there.
	old := s.o.Now().Sub(state.asked) > recipientAge || seg.Head.End != recording.EndNone
	if now := s.o.Now(); state.recipient == nil || !state.erased && old {
		state.asked = now
		state.recipient, state.erased, err = s.recipient(ctx, state.session, seg.Head.Segment == 1)
		if errors.Is(err, store.ErrErased) {
			return nil, RejectedKeyLost, nil
		}
		if err != nil {
			return nil, "", err
		}
	}
	sealed, err := recording.Encrypt(seg, state.recipient)
	if err != nil {
		return nil, "", err
	}
	return sealed.Append(nil), "", nil
}

// recipient returns whom a session's segments are encrypted to. The key is made with the first of them; one that is missing later is
// not made anew, or whoever can delete it could also choose what is read of the session. What still comes of a session that was
// erased is encrypted to a key that nobody keeps: its chain goes on, its content is gone at once.
func (s *Store) recipient(ctx context.Context, session store.Session, first bool) (to *age.X25519Recipient, erased bool, err error) {
	id, err := s.o.Bucket.SessionIdentity(ctx, session)
	if err == nil {
		return id.Recipient(), false, nil
	}
	gone, missing := errors.Is(err, store.ErrErased), errors.Is(err, store.ErrNotFound)
	if !gone || (missing && !first) {
		return nil, false, err
	}
	if id, err = age.GenerateX25519Identity(); err != nil {
		return nil, false, fmt.Errorf("recordings: %w", err)
	}
	if !missing {
		return id.Recipient(), true, nil
	}
	wrapped, err := store.WrapKey(ctx, s.o.Wrapper, session, id)
	if err != nil {
		return nil, false, err
	}
	err = s.o.Bucket.Put(ctx, session.Key(), wrapped, store.PutOptions{Once: true})
	if errors.Is(err, store.ErrExists) { // another replica was faster: it counts
		if id, err = s.o.Bucket.SessionIdentity(ctx, session); err != nil {
			return nil, false, errors.New("recordings: the key that another replica has made cannot be read now")
		}
	}
	if err != nil {
		return nil, false, err
	}
	return id.Recipient(), false, nil
}

// until is when a segment may be deleted: at put, it is not known when the session will have ended.
func (s *Store) until(ctx context.Context, h *recording.Head) (time.Time, error) {
	at := s.o.Now()
	if h.To.After(at) {
		at = h.To
	}
	keep, err := s.o.Retention.Of(ctx, h.DataSource)
	if keep <= 0 {
		keep = forEver
	}
	return at.Add(keep), err
}

// sealed is the leaf of a segment. Its ID follows from the object, so that one that is written again is known, also by who writes it.
func (s *Store) sealed(pod Pod, seg *recording.Segment, object string, stored []byte) *ledger.Leaf {
	sum := sha256.Sum256(stored)
	return &ledger.Leaf{
		Kind: ledger.KindSealed, Time: s.o.Now().UTC(), ID: idOf(ledger.KindSealed, object, hex.EncodeToString(sum[:])), Pod: pod.leaf(),
		Sealed: &ledger.Sealed{Head: seg.Signed, Object: object, Stored: sum, Size: int64(len(stored))},
	}
}

// idOf is the ID of a leaf that there can be only one of.
func idOf(kind ledger.Kind, names ...string) string {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, n := range names {
		h.Write([]byte{0})
		h.Write([]byte(n))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// index writes the session's entry.
func (s *Store) index(ctx context.Context, session store.Session, e *entry) error {
	raw, err := json.Marshal(&e.Entry)
	if err != nil {
		return fmt.Errorf("recordings: %w", err)
	}
	return s.o.Bucket.Put(ctx, session.Entry(e.Began), raw, store.PutOptions{})
}
