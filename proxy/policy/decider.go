package policy

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// ErrNoBundle is why everything is refused before the first bundle came.
var ErrNoBundle = errors.New("policy: no bundle has been loaded")

// Decider decides by the last good bundle. The zero value refuses everything and
// takes no bundle. It is safe for concurrent use: a swap never waits for a
// decision, nor a decision for a swap.
type Decider struct {
	options Options
	swap    sync.Mutex // one Swap at a time
	current atomic.Pointer[Engine]
}

// NewDecider returns a decider that refuses everything until Use succeeds.
func NewDecider(o Options) *Decider { return &Decider{options: o} }

// Use puts a bundle in force. A bundle that is refused leaves the last good one
// in force; one of a lower revision is refused with ErrRevision.
func (d *Decider) Use(bundle []byte) error {
	e, err := d.Load(bundle, d.options.PublicKey)
	if err != nil {
		return err
	}
	return d.Swap(e)
}

// Load verifies a bundle by a key and prepares it, and puts nothing in force.
func (d *Decider) Load(bundle []byte, key ed25519.PublicKey) (*Engine, error) {
	o := d.options
	o.PublicKey = key
	if e := d.current.Load(); e != nil {
		o.MinRevision = max(o.MinRevision, e.Revision())
	}
	return Load(bundle, o)
}

// Swap puts what Load returned in force, unless a higher revision is in force by
// now.
func (d *Decider) Swap(e *Engine) error {
	d.swap.Lock()
	defer d.swap.Unlock()
	if now := d.current.Load(); now != nil && e.Revision() < now.Revision() {
		return fmt.Errorf("%w: %d after %d", ErrRevision, e.Revision(), now.Revision())
	}
	d.current.Store(e)
	return nil
}

// Engine in force; nil before the first bundle.
func (d *Decider) Engine() *Engine { return d.current.Load() }

// Decide answers op by the bundle in force, as Engine.Decide does.
func (d *Decider) Decide(ctx context.Context, id access.Identity, op *access.Operation) (access.Decision, error) {
	e := d.current.Load()
	if e == nil {
		return access.Decision{}, ErrNoBundle
	}
	return e.Decide(ctx, id, op)
}
