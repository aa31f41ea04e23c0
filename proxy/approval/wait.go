package approval

import (
	"context"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// wait keeps a client until there is an answer, the time is over, or the context ends.
func (b *Broker) wait(ctx context.Context, h *hold, q *session.Question) (access.Answered, error) {
	late := time.NewTimer(q.Timeout)
	defer late.Stop()
	named, graced := h.named, false
	for {
		select {
		case <-ctx.Done(): // first: a client that has gone has not been answered
			return b.over(ctx, h)
		case <-h.done: // there is nothing to wait for, and nothing to tell of that
			return b.answered(h)
		default:
		}
		select {
		case <-named:
			named = nil
			if !b.hasAnswer(h) { // the name may have come with it
				q.Notify(b.notice(h))
			}
		case <-h.done:
			return b.answered(h)
		case <-late.C:
			if !graced && b.askedNow(h) { // the operator's word, that it has expired, is on its way
				graced = true
				late.Reset(grace)
				continue
			}
			return b.late(h)
		case <-ctx.Done():
		}
	}
}

// hasAnswer reports whether there is nothing to wait for.
func (b *Broker) hasAnswer(h *hold) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return h.answer != nil
}

// askedNow reports whether people are asked over the stream of now.
func (b *Broker) askedNow(h *hold) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return h.sent && h.name != ""
}

// answered takes the answer of a hold and forgets it.
func (b *Broker) answered(h *hold) (access.Answered, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := *h.answer
	b.remove(h)
	return a, b.words(h, a)
}

// late ends a hold by the sidecar's own clock.
func (b *Broker) late(h *hold) (access.Answered, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := access.Answered{Request: h.requestName(), Outcome: access.AnswerExpired, Reason: "nobody answered in time"}
	if h.name == "" {
		a.Outcome, a.Reason = access.AnswerRefused, "nobody could be asked: the operator of Tidewaiter could not be reached"
		if h.asked {
			a.Reason = "nobody was asked: the pod had as many open requests as it may"
		} else if !h.open {
			a.Reason = "nobody was asked: too many other statements of this pod wait for approval"
		}
	}
	b.drop(h, "nobody has answered in time")
	return a, b.words(h, a)
}

// over ends a hold because of the client, its session or the proxy.
func (b *Broker) over(ctx context.Context, h *hold) (access.Answered, error) {
	reason := "the session has ended"
	var d *access.Denial
	if errors.As(context.Cause(ctx), &d) {
		reason = plain(d.What)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(h, reason)
	a := access.Answered{Request: h.requestName(), Outcome: access.AnswerWithdrawn, Reason: reason}
	if d == nil {
		return a, b.words(h, a)
	}
	told := *d // it may be shared
	if h.name != "" && told.Detail == "" {
		told.Detail = "The request " + h.requestName() + " was withdrawn. Nothing was sent to the server."
	}
	return a, &told
}

// refuse tells a client that does not wait where its request is: its name, or how it was
// answered. The request stays, for the client to come again.
func (b *Broker) refuse(ctx context.Context, h *hold, q *session.Question) (access.Answered, error) {
	late := time.NewTimer(min(nameWait, q.Timeout))
	defer late.Stop()
	b.mu.Lock()
	done := h.done
	b.mu.Unlock()
	select {
	case <-done:
	default:
		select {
		case <-done:
		case <-h.named:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	a := access.Answered{Request: h.requestName(), Outcome: access.AnswerPending}
	var cause *access.Denial
	if h.answer == nil && errors.As(context.Cause(ctx), &cause) { // the request stays all the same
		b.mu.Unlock()
		return a, cause
	}
	if h.answer != nil {
		if a = *h.answer; a.Outcome == access.AnswerApproved {
			defer b.mu.Unlock()
			if b.byID[h.id] != h { // another connection was faster
				a.Outcome = access.AnswerPending
				return a, b.words(h, a)
			}
			return b.use(h), nil
		}
	}
	words, notice := b.words(h, a), h.notice()
	if a.Outcome != access.AnswerPending && a.Outcome != access.AnswerDenied { // told once; it may be asked anew
		b.remove(h)
	}
	b.mu.Unlock()
	if a.Outcome == access.AnswerPending && a.Request != "" {
		q.Notify(notice)
	}
	return a, words
}

func (b *Broker) notice(h *hold) access.Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return h.notice()
}

func (h *hold) notice() access.Notice {
	until := h.until
	if !h.expires.IsZero() && h.expires.Before(until) {
		until = h.expires
	}
	return access.Notice{Request: h.requestName(), Until: until, Refused: h.refuse, Hint: h.hint(h.requestName())}
}
