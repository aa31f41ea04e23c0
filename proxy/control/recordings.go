package control

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/recording"
)

// Recordings signs what is recorded. It is safe for concurrent use.
type Recordings interface {
	// Key returns the public key and the proof that it is held, for the instance that the client is.
	Key(instance string) (key ed25519.PublicKey, proof []byte)
	// Attested takes the operator's word for the key, or nil where it has none: then it keeps no recordings, or is older.
	Attested(a *recording.Signed) error
	// Beat signs the next heartbeat; last says that none follows.
	Beat(last bool) (recording.Signed, error)
}

// attested takes the operator's word for the recordings' key.
func (c *Client) attested(a *sidecarv1alpha1.RecordingAttestation) error {
	if c.opt.Recordings == nil {
		return nil
	}
	if err := c.opt.Recordings.Attested(&recording.Signed{Statement: a.GetStatement(), Signature: a.GetSignature()}); err != nil {
		return fmt.Errorf("the operator's attestation is not taken: %w", err)
	}
	return nil
}

// unattested says, behind a stream's first snapshot, that the operator has no more to say of the key.
func (c *Client) unattested() error {
	if c.opt.Recordings == nil {
		return nil
	}
	return c.opt.Recordings.Attested(nil)
}

// beat sends a heartbeat at the beginning of a stream, and then every so often, until the last one is asked for.
func (c *Client) beat(ctx context.Context, out outgoing) {
	if c.opt.Recordings == nil {
		return
	}
	every := time.NewTicker(c.opt.BeatEvery)
	defer every.Stop()
	for {
		select { // first: nothing comes behind the last
		case <-c.stopping:
			for _, r := range c.opt.Fleet.Reports() { // which know the last recordings by now
				out.put(ctx, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Report{Report: r}})
			}
			c.sendBeat(ctx, out, true)
			select {
			case out <- nil: // the end of what is said
			case <-ctx.Done():
			}
			return
		default:
		}
		c.sendBeat(ctx, out, false)
		select {
		case <-ctx.Done():
			return
		case <-c.stopping:
		case <-every.C:
		}
	}
}

func (c *Client) sendBeat(ctx context.Context, out outgoing, last bool) {
	b, err := c.opt.Recordings.Beat(last)
	if err != nil {
		c.opt.Log.Error("a heartbeat could not be signed", "error", err)
		return
	}
	out.put(ctx, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Heartbeat{
		Heartbeat: &sidecarv1alpha1.RecordingHeartbeat{Statement: b.Statement, Signature: b.Signature},
	}})
}

func (c *Client) finished() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// Finish sends reports and the last heartbeat, for when everything was shipped, and ends the stream in order: it waits until the operator
// has ended it too, until there is none, or until ctx ends. Run has still to be ended.
func (c *Client) Finish(ctx context.Context) {
	c.uplink.mu.Lock()
	stream := c.uplink.stream
	c.uplink.mu.Unlock()
	if c.opt.Recordings == nil || stream == nil || stream.Err() != nil {
		return
	}
	c.finish.Do(func() { close(c.stopping) })
	select {
	case <-stream.Done():
	case <-ctx.Done():
	}
}
