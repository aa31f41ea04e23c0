package distribute

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/approvals"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

const (
	// settleTime is how long changes are gathered before a sidecar is told: one
	// kubectl apply is often several changes.
	settleTime = 25 * time.Millisecond
	// sendTimeout is how long a sidecar may take to read.
	sendTimeout = 10 * time.Second
	// reportInterval is the least between two reports of a data source that are looked at; what comes
	// faster waits for the next, or for the stream's end.
	reportInterval = 200 * time.Millisecond
	maxOut         = 16 // messages
)

// conversation is one sidecar's stream after its Hello. All but the two queues
// belongs to the goroutine of run.
type conversation struct {
	s      *Server
	log    logr.Logger
	caller caller
	id     identity
	stream *stream
	desk   *approvals.Stream
	// recording is what the sidecar's segments go through, and looks what is asked of it; nil where none are kept.
	recording *recordings.Stream
	looks     chan<- look

	in  <-chan *sidecarv1alpha1.ConnectRequest
	out chan<- *sidecarv1alpha1.ConnectResponse

	ledger *ledger
	seen   map[types.NamespacedName]*seen
	told   map[types.NamespacedName]string // reason of the latest Revocation
	heard  map[types.NamespacedName]time.Time
	began  time.Time
	held   bool // the sidecar has something from before
	sent   bool // a first snapshot

	keeping  atomic.Int32 // requests to keep tags that wait
	answered bool         // the sidecar has acknowledged something, or refused
}

// run speaks until the stream ends, and says why it does.
func (c *conversation) run(ctx context.Context) error {
	lease := time.NewTicker(c.s.o.Lease / 3)
	defer lease.Stop()
	quiet := time.NewTicker(nackQuiet)
	defer quiet.Stop()
	age := time.NewTimer(c.s.o.StreamAge + rand.N(c.s.o.StreamAge/4+1))
	defer age.Stop()
	settled := time.NewTimer(0) // the first look is at once
	defer settled.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-c.stream.gone:
			return c.stream.end
		case <-age.C:
			return unavailable(ReasonStreamAge, "connect again, so that sidecars spread over the operator's replicas")
		case <-c.stream.dirty:
			settled.Reset(settleTime)
		case <-settled.C:
			err = c.look(ctx)
		case <-lease.C:
			err = c.renew(ctx)
		case <-c.desk.Ready():
			err = c.deliver(ctx)
		case <-quiet.C:
			if !c.sent {
				settled.Reset(0) // it waits for something
			} else if c.ledger.quiet(c.s.o.Now()) || !c.answered {
				c.publish()
			}
		case msg, open := <-c.in:
			if !open {
				return nil
			}
			if err = c.receive(ctx, msg); err == nil {
				err = c.deliver(ctx) // before the next: who asks without end waits for the answers
			}
		}
		if err != nil {
			return err
		}
	}
}

// send queues a message. A sidecar that does not read is given up.
func (c *conversation) send(ctx context.Context, msg *sidecarv1alpha1.ConnectResponse) error {
	timer := time.NewTimer(sendTimeout)
	defer timer.Stop()
	select {
	case c.out <- msg:
		return nil
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return &refusal{codes.ResourceExhausted, ReasonSlowReader, "the sidecar does not read what it is sent"}
	}
}

// renew prolongs the lease, and looks whether a bundle is due for renewal.
func (c *conversation) renew(ctx context.Context) error {
	err := c.send(ctx, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Lease{Lease: c.lease()}})
	if err != nil {
		return err
	}
	if signer, err := c.s.o.Authority.BundleSigner(); err == nil { // else there is time: what is in force stays so
		for _, p := range c.ledger.parts {
			if !p.fresh(signer, c.s.o.Now()) {
				return c.look(ctx)
			}
		}
	}
	return nil
}

func (c *conversation) lease() *sidecarv1alpha1.Lease {
	return &sidecarv1alpha1.Lease{Seconds: uint32(c.s.o.Lease / time.Second)}
}

// receive takes a message of the sidecar. Recordings do not come here.
func (c *conversation) receive(ctx context.Context, msg *sidecarv1alpha1.ConnectRequest) error {
	now := c.s.o.Now()
	switch m := msg.GetMessage().(type) {
	case *sidecarv1alpha1.ConnectRequest_Ack:
		if took, ok := c.ledger.ack(m.Ack.GetRevision(), now); ok {
			c.answered = true
			c.protects()
			c.s.metrics.ack.Observe(took.Seconds())
			c.s.metrics.answers.WithLabelValues("Ack").Inc()
			c.publish()
		}
	case *sidecarv1alpha1.ConnectRequest_Nack:
		if c.ledger.nack(m.Nack, now) {
			c.answered = true
			c.s.metrics.answers.WithLabelValues(nackLabel(m.Nack.GetReason())).Inc()
			c.log.Info("the sidecar refused a snapshot and goes on by the one before", "dataSource", clip(m.Nack.GetDataSource(), 320),
				"revision", m.Nack.GetRevision(), "reason", word(m.Nack.GetReason()))
		}
	case *sidecarv1alpha1.ConnectRequest_Tags:
		c.keepTags(ctx, m.Tags)
	case *sidecarv1alpha1.ConnectRequest_Report:
		c.reported(m.Report, now)
	case *sidecarv1alpha1.ConnectRequest_Approval:
		c.ask(ctx, m.Approval)
	case *sidecarv1alpha1.ConnectRequest_Withdrawal:
		c.desk.Withdraw(m.Withdrawal)
	case *sidecarv1alpha1.ConnectRequest_Hello:
		return outOfTurn("a second Hello")
	default:
		return outOfTurn("a message that this operator does not know: it may be older than the sidecar")
	}
	return nil
}

// reported takes a report of a data source that the pod was injected with.
func (c *conversation) reported(r *sidecarv1alpha1.Report, now time.Time) {
	for name, s := range c.seen {
		if name.String() != r.GetDataSource() {
			continue
		}
		s.report = r // the last one counts, however soon it comes
		if now.Sub(c.heard[name]) < reportInterval {
			continue
		}
		c.heard[name] = now
		c.recorded(name, s)
		c.s.o.Sessions.Update(c.who(name), statusOf(c.ledger, name, *s))
	}
}

// recorded notes the latest session that has ended and is kept. One of an earlier stream is looked up, beside: the next report shows it.
func (c *conversation) recorded(name types.NamespacedName, s *seen) {
	id := s.report.GetLastRecording()
	if c.recording == nil || id == "" {
		return
	}
	done, known := c.recording.Latest(name.String())
	if known {
		s.recorded = &done
	}
	if !known || done.Session != id {
		select {
		case c.looks <- look{dataSource: name.String(), session: id}:
		default: // another is being looked up; there will be a next report
		}
	}
}

// answerPatience is how long a sidecar that has something from before may take for
// its first answer, until then its Sessions stay as they are.
const answerPatience = 3 * time.Second

// publish says how all Sessions of the pod are.
func (c *conversation) publish() {
	if c.held && !c.answered && time.Since(c.began) < answerPatience {
		return
	}
	for name, s := range c.seen {
		c.s.o.Sessions.Update(c.who(name), statusOf(c.ledger, name, *s))
	}
}

func (c *conversation) who(name types.NamespacedName) session.Who {
	return session.Who{
		Namespace: c.id.pod.Namespace, Pod: c.id.pod.Name, UID: c.id.pod.UID,
		ServiceAccount: c.id.pod.Spec.ServiceAccountName, DataSource: name,
	}
}
