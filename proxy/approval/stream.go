package approval

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Asker is a stream to the operator. Its methods return once a message is queued, or
// with an error once the stream has ended.
type Asker interface {
	Ask(ctx context.Context, r *sidecarv1alpha1.ApprovalRequest) error
	Withdraw(ctx context.Context, w *sidecarv1alpha1.ApprovalWithdrawal) error
}

// Talk asks over a stream until the context, which ends with the stream, does. What was
// asked over an earlier one is asked again. There is one call at a time.
func (b *Broker) Talk(ctx context.Context, to Asker) {
	defer b.lost()
	for ctx.Err() == nil {
		gone, ask := b.next()
		switch {
		case gone != nil:
			if to.Withdraw(ctx, gone) != nil {
				b.putBack(gone)
				return
			}
		case ask != nil:
			if to.Ask(ctx, ask) != nil {
				return
			}
		default:
			select {
			case <-b.wake:
			case <-ctx.Done():
			}
		}
	}
}

// next returns what is to be sent, if anything is.
func (b *Broker) next() (*sidecarv1alpha1.ApprovalWithdrawal, *sidecarv1alpha1.ApprovalRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.gone) > 0 {
		gone := b.gone[0]
		b.gone = b.gone[1:]
		return gone, nil
	}
	for _, h := range b.holds {
		if h.open && !h.sent && h.answer == nil {
			h.sent, h.asked = true, true
			ask := proto.CloneOf(h.request)
			ask.WaitedSeconds = uint32(max(0, b.now().Sub(h.begun)/time.Second))
			return nil, ask
		}
	}
	return nil, nil
}

func (b *Broker) putBack(gone *sidecarv1alpha1.ApprovalWithdrawal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = slices.Insert(b.gone, 0, gone)
}

// lost is the end of a stream: holds stay, and what nobody can take back any more does
// not, which is grants and approvals that have not been used.
func (b *Broker) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grants = nil
	for _, h := range b.holds {
		h.sent = false
		if h.refuse && h.answer != nil && h.answer.Outcome == access.AnswerApproved {
			h.answer, h.done = nil, make(chan struct{})
		}
	}
}

// Pending takes the word that people are asked.
func (b *Broker) Pending(p *sidecarv1alpha1.ApprovalPending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.byID[p.GetHold()]
	if h == nil || !h.sent || p.GetName() == "" { // it waits for its turn there
		return
	}
	if p.GetExpiresAt().IsValid() {
		h.expires = p.GetExpiresAt().AsTime()
	}
	h.call(p.GetName())
}

// call notes the request's name.
func (h *hold) call(name string) {
	if name = cut(name, maxName); h.name == "" && name != "" {
		h.name = name
		close(h.named)
	}
}

var outcomes = map[sidecarv1alpha1.ApprovalOutcome]access.AnswerOutcome{
	sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_APPROVED:  access.AnswerApproved,
	sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_DENIED:    access.AnswerDenied,
	sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_EXPIRED:   access.AnswerExpired,
	sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_WITHDRAWN: access.AnswerWithdrawn,
	sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_REFUSED:   access.AnswerRefused,
}

// Answer takes an answer. One to what is not held, or was not asked over this stream, is
// dropped, and with it what it grants: nobody is known to have been asked for that.
func (b *Broker) Answer(m *sidecarv1alpha1.ApprovalAnswer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.byID[m.GetHold()]
	if h == nil || !h.sent || h.answer != nil {
		return
	}
	h.call(m.GetName())
	a := access.Answered{Request: h.requestName(), Outcome: outcomes[m.GetOutcome()], Reason: cut(m.GetReason(), maxReason)}
	for _, by := range m.GetBy()[:min(len(m.GetBy()), maxBy)] {
		a.By = append(a.By, cut(by, maxName))
	}
	switch {
	case a.Outcome == "":
		a.Outcome, a.Reason = access.AnswerRefused, "the operator's answer is not known to this proxy: update it"
	case a.Outcome == access.AnswerApproved:
		if g := b.grantOf(h, m.GetGrant()); g != nil {
			a.Grant = g.words
			b.keep(g)
		}
	}
	h.answer = &a
	close(h.done)
	b.turns(h.dataSource)
}

// GrantEnd takes back what a request has granted, as far as it has not been used.
func (b *Broker) GrantEnd(m *sidecarv1alpha1.GrantEnd) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grants = slices.DeleteFunc(b.grants, func(g *grant) bool { return g.name == m.GetName() })
	for _, h := range b.holds {
		if h.refuse && h.name == m.GetName() && h.answer != nil && h.answer.Outcome == access.AnswerApproved {
			h.answer = &access.Answered{Request: h.requestName(), Outcome: access.AnswerDenied, Reason: "the approval was taken back"}
		}
	}
}
