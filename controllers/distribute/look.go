package distribute

import (
	"context"
	"errors"
	"maps"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
)

// look finds out what the pod may use now, and tells the sidecar what is different.
func (c *conversation) look(ctx context.Context) error {
	began := time.Now()
	id, err := c.s.identify(ctx, c.caller, true)
	if err != nil {
		return c.cutOff(ctx, err)
	}
	c.id = id
	signer, err := c.s.o.Authority.BundleSigner()
	if err != nil {
		return unavailable(ReasonInternal, "the operator's certificate authority is not there yet")
	}
	revision := c.ledger.next(c.s.o.Now())
	parts, claims := c.parts(plan(id, c.s.world(ctx)), revision, signer)
	c.forget(claims)
	if err := c.revoke(ctx, claims); err != nil {
		return err
	}
	c.s.metrics.compile.Observe(time.Since(began).Seconds())
	if !c.waits(claims, parts) {
		if err := c.snapshot(ctx, parts, revision, signer); err != nil {
			return err
		}
	}
	c.publish()
	return nil
}

// firstPatience is how long a sidecar that has nothing waits for Secrets that this
// replica has not read yet.
const firstPatience = 5 * time.Second

// waits reports whether the first snapshot has to wait. A data source that is not in
// it would be gone for a sidecar that has it from another replica: while this one
// cannot tell what it is to be, the sidecar keeps what it has, and its lease.
func (c *conversation) waits(claims []claimed, parts map[types.NamespacedName]*part) bool {
	if c.sent {
		return false
	}
	for _, cl := range claims {
		pending := cl.reason == credential.ReasonPending && time.Since(c.began) < firstPatience
		if cl.verdict == hold && parts[cl.name] == nil && (c.held || pending) {
			return true
		}
	}
	return false
}

// parts makes what the claims come to. A claim whose part cannot be made is held.
func (c *conversation) parts(claims []claimed, revision uint64, signer *authority.Leaf) (map[types.NamespacedName]*part, []claimed) {
	parts := map[types.NamespacedName]*part{}
	for i := range claims {
		name := claims[i].name
		prev := c.ledger.parts[name]
		s := c.seen[name]
		if s == nil {
			s = &seen{}
			c.seen[name] = s
		}
		var next *part
		var err error
		switch claims[i].verdict {
		case grant:
			next, err = c.s.factory.build(c.id, claims[i], prev, revision, signer)
		case hold:
			next, err = c.keep(prev, revision, signer)
		}
		s.kept = nil
		switch {
		case errors.Is(err, errKept):
			s.kept = err
		case err != nil && prev != nil && prev.signer == signer: // a snapshot has one signer
			next, s.kept = prev, err
		case err != nil:
			policies := claims[i].policies
			claims[i] = explain(name, err)
			claims[i].policies = policies
		}
		if next != nil {
			parts[name] = next
		}
		s.claim = claims[i]
	}
	return parts, claims
}

// keep is what the sidecar has, renewed if that is due.
func (c *conversation) keep(prev *part, revision uint64, signer *authority.Leaf) (*part, error) {
	if prev == nil || prev.fresh(signer, c.s.o.Now()) {
		return prev, nil
	}
	next, err := c.s.factory.again(c.id, prev, revision, signer)
	if err != nil {
		return nil, err
	}
	message, ok := proto.Clone(prev.message).(*sidecarv1alpha1.DataSource)
	if !ok {
		return nil, errors.New("distribute: a message that is not a DataSource")
	}
	message.Bundle = next.message.GetBundle()
	next.message, next.generation = message, prev.generation
	return next, nil
}

// forget ends what the pod is no longer injected with: its status annotation can be
// changed while it runs.
func (c *conversation) forget(claims []claimed) {
	for name := range c.seen {
		known := false
		for _, cl := range claims {
			known = known || cl.name == name
		}
		if !known {
			c.s.o.Sessions.End(c.who(name), "the pod is no longer injected with this DataSource")
			delete(c.seen, name)
			delete(c.heard, name)
		}
	}
}

// revoke tells of the data sources that the pod may not use, each once.
func (c *conversation) revoke(ctx context.Context, claims []claimed) error {
	for _, cl := range claims {
		if cl.verdict != refuse {
			delete(c.told, cl.name)
			continue
		}
		if c.told[cl.name] == cl.reason {
			continue
		}
		c.told[cl.name] = cl.reason
		had := c.ledger.parts[cl.name] != nil || (c.held && !c.sent)
		c.ledger.revoke(cl.name)
		if !had {
			continue // the sidecar has nothing of it
		}
		c.log.Info("a data source was revoked", "dataSource", cl.name.String(), "reason", cl.reason)
		if err := c.send(ctx, revocation(cl.name.String(), cl.reason, cl.message)); err != nil {
			return err
		}
	}
	return nil
}

func revocation(dataSource, reason, message string) *sidecarv1alpha1.ConnectResponse {
	return &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Revocation{
		Revocation: &sidecarv1alpha1.Revocation{DataSource: dataSource, Reason: reason, Message: clip(message, 1024)},
	}}
}

// cutOff ends the stream of a pod that is not what it was. A pod that is only not
// known for the moment keeps what it has.
func (c *conversation) cutOff(ctx context.Context, err error) error {
	r := (*refusal)(nil)
	if !errors.As(err, &r) || r.code != codes.PermissionDenied {
		return err
	}
	for name, s := range c.seen {
		c.ledger.revoke(name)
		s.claim = claimed{name: name, reason: r.reason, message: r.message}
	}
	if over(r.reason) {
		for name := range c.seen {
			c.s.o.Sessions.End(c.who(name), "the pod is gone or has finished")
		}
		c.seen = map[types.NamespacedName]*seen{}
	} else {
		c.publish()
	}
	if err := c.send(ctx, revocation("", r.reason, r.message)); err != nil {
		return err
	}
	return r
}

// over reports whether a reason means that the pod has come to its end.
func over(reason string) bool {
	return reason == ReasonPodDeleted || reason == ReasonPodFinished || reason == ReasonPodReplaced
}

// snapshot sends the parts if they differ from those that the sidecar was sent. What
// was revoked was told already.
func (c *conversation) snapshot(ctx context.Context, parts map[types.NamespacedName]*part, revision uint64, signer *authority.Leaf) error {
	same := func(a, b *part) bool { return proto.Equal(a.message, b.message) }
	if c.sent && maps.EqualFunc(parts, c.ledger.parts, same) {
		c.adopt(parts)
		return nil
	}
	msg := &sidecarv1alpha1.Snapshot{Revision: revision, Lease: c.lease(), BundleSigners: signer.Chain}
	for _, name := range c.id.injected {
		if p := parts[name]; p != nil {
			msg.DataSources = append(msg.DataSources, p.message)
		}
	}
	if size := proto.Size(msg); size > maxSent-1024 {
		return unavailable(ReasonInternal, "what the pod may use is larger than a message may be: use fewer data sources")
	}
	c.ledger.send(revision, parts, c.s.o.Now())
	c.sent = true
	c.s.metrics.sent.Inc()
	return c.send(ctx, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Snapshot{Snapshot: msg}})
}

// adopt takes over what is known of parts whose messages are the same: a generation
// of a DataSource, say, that changes nothing for the sidecar.
func (c *conversation) adopt(parts map[types.NamespacedName]*part) {
	for name, p := range parts {
		if c.ledger.force[name] == c.ledger.parts[name] {
			c.ledger.force[name] = p
		}
		for _, s := range c.ledger.sent {
			if s.parts[name] == c.ledger.parts[name] {
				s.parts[name] = p
			}
		}
	}
	c.ledger.parts = parts
}
