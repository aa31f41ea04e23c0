package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

const (
	// maxQueue bounds what waits to be sent. Whoever has more waits.
	maxQueue = 16
	// firstWord is how long an operator may take for a snapshot, and minSilence the least that it may say nothing after
	// that; it may for as long as the lease holds.
	firstWord  = 30 * time.Second
	minSilence = 5 * time.Second
)

var errSilent = errors.New("the operator has said nothing for too long")

// outgoing takes what is to be sent.
type outgoing chan *sidecarv1alpha1.ConnectRequest

// put queues a message, unless the stream ends first.
func (o outgoing) put(ctx context.Context, msg *sidecarv1alpha1.ConnectRequest) {
	select {
	case o <- msg:
	case <-ctx.Done():
	}
}

// stream opens a stream and follows it to its end. It reports whether a snapshot was taken.
func (c *Client) stream(ctx context.Context) (took bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel(nil)
	s, err := connect(ctx, c.opt.Operator, c.opt.Identity)
	if err != nil {
		return false, err
	}
	defer s.close()
	silence := time.AfterFunc(firstWord, func() { cancel(errSilent) })
	defer silence.Stop()
	out := make(outgoing, maxQueue)
	out <- c.hello()
	helpers.Go(func() { cancel(send(ctx, s, out)) })
	for {
		msg, err := s.Recv()
		if err == nil {
			var taken bool
			if taken, err = c.receive(ctx, s, msg, out); taken && !took {
				took = true
				if err := c.unattested(); err != nil {
					return took, err
				}
				c.uplink.attach(ctx, out)
				c.tags.attach(ctx, out)
				c.budgets.attach(ctx, out)
				helpers.Go(func() { c.report(ctx, out) })
				helpers.Go(func() { c.beat(ctx, out) })
				helpers.Go(func() { c.opt.Approvals.Talk(ctx, out) })
			}
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
				err = cause
			}
			return took, err
		}
		if left, ok := c.lease(); ok {
			silence.Reset(max(left, minSilence))
		}
	}
}

// send sends what is queued until the stream ends.
func send(ctx context.Context, s *stream, out outgoing) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg := <-out:
			if msg == nil {
				err := s.CloseSend()
				<-ctx.Done() // until the operator has read it all, and ends the stream
				return err
			}
			if err := s.Send(msg); err != nil && !errors.Is(err, io.EOF) { // with io.EOF, Recv says why
				return err
			}
		}
	}
}

func (c *Client) hello() *sidecarv1alpha1.ConnectRequest {
	h := &sidecarv1alpha1.Hello{Version: c.opt.Version, DataSources: c.opt.DataSources, Instance: c.instance, Revision: c.Revision()}
	if c.opt.Recordings != nil {
		h.RecordingKey, h.RecordingProof = c.opt.Recordings.Key(c.instance)
	}
	return &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{Hello: h}}
}

// receive does what a message of the operator says. An error ends the stream.
func (c *Client) receive(ctx context.Context, s *stream, msg *sidecarv1alpha1.ConnectResponse, out outgoing) (took bool, err error) {
	switch m := msg.GetMessage().(type) {
	case *sidecarv1alpha1.ConnectResponse_Snapshot:
		answers, took := c.snapshot(s, m.Snapshot)
		for _, a := range answers {
			out.put(ctx, a)
		}
		return took, nil
	case *sidecarv1alpha1.ConnectResponse_Lease:
		c.mu.Lock()
		c.machine.Renew(c.opt.Now(), m.Lease)
		c.mu.Unlock()
		c.settle()
	case *sidecarv1alpha1.ConnectResponse_Revocation:
		c.revoke(m.Revocation)
	case *sidecarv1alpha1.ConnectResponse_Recording:
		c.uplink.answer(m.Recording)
	case *sidecarv1alpha1.ConnectResponse_Attestation:
		return false, c.attested(m.Attestation)
	case *sidecarv1alpha1.ConnectResponse_Tags:
		c.tags.answer(m.Tags)
	case *sidecarv1alpha1.ConnectResponse_Pending:
		c.opt.Approvals.Pending(m.Pending)
	case *sidecarv1alpha1.ConnectResponse_Answer:
		c.opt.Approvals.Answer(m.Answer)
	case *sidecarv1alpha1.ConnectResponse_GrantEnd:
		c.opt.Approvals.GrantEnd(m.GrantEnd)
	case *sidecarv1alpha1.ConnectResponse_Budget:
		c.budgets.answer(m.Budget)
	default:
		return false, fmt.Errorf("the operator sent a message that this sidecar does not know (%T): update it", m)
	}
	return false, nil
}

// snapshot puts a snapshot in force, and returns what to answer: an Ack, or a Nack for each part that was refused. It reports
// whether the snapshot as a whole was taken.
func (c *Client) snapshot(s *stream, snap *sidecarv1alpha1.Snapshot) (answers []*sidecarv1alpha1.ConnectRequest, took bool) {
	defer c.settle() // after the parts, so that no connection gets in by what is being replaced
	c.fleet.Lock()
	defer c.fleet.Unlock()
	now := c.opt.Now()
	c.mu.Lock()
	gone, refusal := c.machine.Take(now, snap)
	c.accepted = true
	c.mu.Unlock()
	if refusal != nil {
		return []*sidecarv1alpha1.ConnectRequest{c.nack(snap.GetRevision(), "", refusal)}, false
	}
	for _, name := range gone {
		c.opt.Fleet.Remove(name)
	}
	key, refusal := Signer(snap.GetBundleSigners(), s.roots, now)
	for _, ds := range snap.GetDataSources() {
		err := error(refusal)
		if refusal == nil {
			err = c.put(ds, key)
		}
		if err != nil {
			answers = append(answers, c.nack(snap.GetRevision(), ds.GetName(), err))
		}
	}
	if len(answers) == 0 {
		answers = append(answers, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Ack{
			Ack: &sidecarv1alpha1.Ack{Revision: snap.GetRevision()},
		}})
	}
	c.Changed()
	return answers, true
}

func (c *Client) put(ds *sidecarv1alpha1.DataSource, key []byte) error {
	part, refusal := PartOf(ds, key)
	if refusal != nil {
		return refusal
	}
	return c.opt.Fleet.Put(part)
}

// maxNack bounds the message of a Nack, in bytes.
const maxNack = 1 << 10

func (c *Client) nack(revision uint64, dataSource string, err error) *sidecarv1alpha1.ConnectRequest {
	refusal := &Refusal{Reason: ReasonSettingsInvalid, Message: err.Error()}
	errors.As(err, &refusal)
	c.opt.Log.Info("a part of a snapshot was refused, and what was in force stays", "revision", revision, "dataSource", dataSource,
		"reason", refusal.Reason, "error", refusal.Message)
	return &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Nack{Nack: &sidecarv1alpha1.Nack{
		Revision: revision, DataSource: dataSource, Reason: refusal.Reason, Message: cut(refusal.Message, maxNack),
	}}}
}

// revoke cuts off what a revocation is about.
func (c *Client) revoke(r *sidecarv1alpha1.Revocation) {
	c.fleet.Lock()
	defer c.fleet.Unlock()
	c.mu.Lock()
	names := c.machine.Revoked(r)
	c.mu.Unlock()
	for _, name := range names {
		c.opt.Log.Info("access was revoked", "dataSource", name, "reason", cut(r.GetReason(), maxNack), "message", cut(r.GetMessage(), maxNack))
		c.opt.Fleet.Revoke(name, cut(r.GetReason(), maxNack), cut(r.GetMessage(), maxNack))
	}
	c.Changed()
}

// lease returns how long the lease holds.
func (c *Client) lease() (left time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.machine.Leased(c.opt.Now())
}

// settle tells the fleet about the lease, if that has changed, and returns how long it will stay so; 0 for good.
func (c *Client) settle() time.Duration {
	c.fleet.Lock()
	defer c.fleet.Unlock()
	left, ok := c.lease()
	if ok != c.leased {
		c.leased = ok
		c.opt.Fleet.Lease(ok)
		c.opt.Log.Info("the lease has changed", "held", ok)
		select {
		case c.renewed <- struct{}{}:
		default: // the watcher looks anyway
		}
	}
	return left
}

// watchLease notices the end of the lease.
func (c *Client) watchLease(ctx context.Context) {
	end := time.NewTimer(time.Hour)
	defer end.Stop()
	for {
		left := c.settle()
		if left == 0 {
			left = time.Hour // until it is renewed
		}
		end.Reset(left)
		select {
		case <-ctx.Done():
			return
		case <-end.C:
		case <-c.renewed:
		}
	}
}

// report sends reports: all at first, then those that have changed.
func (c *Client) report(ctx context.Context, out outgoing) {
	every := time.NewTicker(c.opt.ReportEvery)
	defer every.Stop()
	said := map[string]*sidecarv1alpha1.Report{}
	for {
		for _, r := range c.opt.Fleet.Reports() {
			if !proto.Equal(said[r.GetDataSource()], r) {
				said[r.GetDataSource()] = r
				out.put(ctx, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Report{Report: r}})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-c.changed:
			pause(ctx, c.opt.ReportSoon)
		}
	}
}

// cut bounds what goes into a message or comes out of one, which has to be UTF-8 (protobuf, "Language Guide", strings).
func cut(s string, size int) string {
	if len(s) > size {
		s = s[:size]
	}
	return strings.ToValidUTF8(s, "?")
}
