package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// Appender puts leaves where the leader finds them. Every replica has one. It is safe for concurrent use.
type Appender struct {
	Objects ledger.Objects
	Now     func() time.Time // left out, time.Now
}

// Append returns when the leaf is durable and will be in the log. It fills in ID and Time where they are not set, so that a
// leaf that is appended again, as whoever wants it does not know whether it was, is the same one and is there once.
func (a *Appender) Append(ctx context.Context, l *ledger.Leaf) error {
	if l.ID == "" {
		var id [16]byte
		_, _ = rand.Read(id[:]) // it never fails
		l.ID = hex.EncodeToString(id[:])
	}
	if l.Time.IsZero() {
		now := a.Now
		if now == nil {
			now = time.Now
		}
		l.Time = now().UTC()
	}
	data, err := l.Encode()
	if err != nil {
		return err
	}
	if err := a.Objects.Put(ctx, pendingName(l), data); err != nil {
		return fmt.Errorf("the log of recordings: append a leaf: %w", err)
	}
	return nil
}

// pendingName orders leaves by their times.
func pendingName(l *ledger.Leaf) string {
	return fmt.Sprintf("%s%020d-%s.json", ledger.PendingPrefix, max(0, l.Time.UnixNano()), l.ID)
}
