package ledger

import (
	"context"
	"errors"
	"maps"
)

// ErrConflict is returned by Swap where somebody else has changed the state: another leader.
var ErrConflict = errors.New("the log's state was changed by another replica")

// State is what the leaders of a log agree on.
type State struct {
	// Checkpoint is the signed note of the log as it is; nil where there is no log yet.
	Checkpoint []byte
	// Batch is the object with what Checkpoint has more than the one before it; empty where its tiles are known to be there.
	Batch string
	// Published is for people and auditors: keys, and conditions.
	Published map[string]string

	version string // by which the Register knows a change
}

func (s *State) clone() State {
	c := *s
	c.Published = maps.Clone(s.Published)
	if c.Published == nil {
		c.Published = make(map[string]string)
	}
	return c
}

// Register holds the state of one log, apart from the bucket. It is what keeps two leaders from forking the log, and a
// second place in which its checkpoint is seen.
type Register interface {
	// Load returns the state; the zero one where there is none.
	Load(ctx context.Context) (State, error)
	// Swap replaces old, which Load or Swap returned, and returns what is there then. The error is ErrConflict where it is
	// not there any more. After any other error the state has to be loaded to know.
	Swap(ctx context.Context, old, next State) (State, error)
}
