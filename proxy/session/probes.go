package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// ruleProbes is the rule that a refusal for too many probes names.
const ruleProbes = "probes"

// flagFailed is the remark on an operation whose failure counts as a probe.
const flagFailed = "probe: it failed while it used tagged data"

// probeSet holds distinct probes with the minute in which each was last made. It
// never holds more than the bound that it is asked about, so its memory is bounded
// by policy. It is not safe for concurrent use; its zero value is empty.
type probeSet struct {
	at map[uint64]int64
	// shut until that minute: a failure has told something when the bound was
	// reached, and cannot be untold.
	shut int64
	// pruned is when it was last looked through for probes to forget.
	pruned int64
}

// maxProbes bounds a set whatever policy says.
const maxProbes = 100_000

// endless is a window that nothing leaves, in minutes.
const endless = int64(1) << 60

// fresh returns how many of the probes are not in the set.
func (p *probeSet) fresh(probes []uint64) int64 {
	n := int64(0)
	for i, q := range probes {
		if _, known := p.at[q]; !known && !slices.Contains(probes[:i], q) {
			n++
		}
	}
	return n
}

// forget drops what was last made a whole window ago. Only a set that is full looks.
func (p *probeSet) forget(minute, window int64) {
	for q, last := range p.at {
		if minute-last >= window {
			delete(p.at, q)
		}
	}
}

// room reports whether the probes fit below the bound; 0 bounds nothing.
func (p *probeSet) room(probes []uint64, most, minute, window int64) bool {
	fresh := p.fresh(probes)
	most = min(most, maxProbes)
	if most == 0 || int64(len(p.at))+fresh <= most {
		return true
	}
	if fresh > 0 && p.pruned != minute {
		p.pruned = minute
		p.forget(minute, window)
	}
	return fresh == 0 || int64(len(p.at))+p.fresh(probes) <= most
}

// add counts the probes. It is called where there is room, or no bound.
func (p *probeSet) add(probes []uint64, minute int64) {
	if p.at == nil {
		p.at = map[uint64]int64{}
	}
	for _, q := range probes {
		p.at[q] = minute
	}
}

// hours keeps the probes of each subject over the last 60 minutes.
type hours struct {
	mu        sync.Mutex
	bySubject map[string]*probeSet
	pruned    int64
}

// of returns a subject's set; nil where too many subjects are counted. It is called
// with the lock held.
func (h *hours) of(subject string, minute int64) *probeSet {
	if p := h.bySubject[subject]; p != nil {
		return p
	}
	if h.bySubject == nil {
		h.bySubject = map[string]*probeSet{}
	}
	if len(h.bySubject) >= maxBudgets && h.pruned != minute {
		h.pruned = minute
		for k, p := range h.bySubject {
			if p.forget(minute, 60); len(p.at) == 0 && p.shut <= minute {
				delete(h.bySubject, k)
			}
		}
	}
	if len(h.bySubject) >= maxBudgets {
		return nil
	}
	p := &probeSet{}
	h.bySubject[subject] = p
	return p
}

// probe counts what op asks of tagged columns, and turns d into a denial where
// policy does not allow that much.
func (s *Session) probe(ctx context.Context, op *access.Operation, d access.Decision) access.Decision {
	if !d.Probes.Any() || op.Phase != access.PhaseRun || op.Touches == 0 && len(op.Probes) == 0 {
		return d
	}
	if b := d.Probes.PerHour; b.Most > 0 && s.p.Budgets.lent() {
		if refused := s.countProbes(op, d, false); refused.Effect == access.Deny { // what is refused here costs others nothing
			return refused
		}
		switch err := s.payProbes(ctx, op, b); {
		case errors.Is(err, errSpent):
			return tooManyProbes(d, b, "in an hour by all of its pods", "perHour", hourCure)
		case err != nil:
			return probesUncounted(d, b)
		}
	}
	return s.countProbes(op, d, true)
}

const hourCure = "Wait, since a probe counts for an hour after it was last made, ask again only what was asked before, or"

// countProbes says what becomes of d, and with count set notes the probes of what is not refused.
func (s *Session) countProbes(op *access.Operation, d access.Decision, count bool) access.Decision {
	minute := s.p.now().Unix() / 60
	s.probeLock.Lock()
	defer s.probeLock.Unlock()
	if b := d.Probes.PerSession; b.Most > 0 {
		if s.probes.shut > minute || !s.probes.room(op.Probes, b.Most, minute, endless) {
			return tooManyProbes(d, b, "in one session", "perSession", "Ask again only what this session has asked before, or")
		}
	}
	if b := d.Probes.PerHour; b.Most > 0 {
		h := &s.p.Budgets.probes
		h.mu.Lock()
		defer h.mu.Unlock()
		set := h.of(s.identity.Subject(), minute)
		if set == nil || set.shut > minute || !set.room(op.Probes, b.Most, minute, 60) {
			return tooManyProbes(d, b, "in an hour", "perHour", hourCure)
		}
		if count {
			set.add(op.Probes, minute)
		}
	}
	if count && d.Probes.PerSession.Most > 0 {
		s.probes.add(op.Probes, minute)
	}
	return d
}

// payProbes draws on the budget that all pods share, for what this one has not asked in the last hour and for failures that
// have not been paid for yet. What two pods ask is two probes: neither can tell what the other has asked.
func (s *Session) payProbes(ctx context.Context, op *access.Operation, b access.Bound) error {
	minute := s.p.now().Unix() / 60
	h := &s.p.Budgets.probes
	h.mu.Lock()
	var fresh int64
	if set := h.of(s.identity.Subject(), minute); set != nil {
		set.forget(minute, 60)
		fresh = set.fresh(op.Probes)
	}
	h.mu.Unlock()
	l := s.p.Budgets.probeLease(s, b)
	if l == nil {
		return errSpent
	}
	return s.p.Budgets.pay(ctx, l, fresh)
}

// tooManyProbes is d refused. A bound that was overrun by failures closes tagged
// data altogether, so the words fit both.
func tooManyProbes(d access.Decision, b access.Bound, window, field, cure string) access.Decision {
	d.Effect, d.Policy, d.Rule, d.Observed = access.Deny, b.Policy, ruleProbes, false
	d.Reason = fmt.Sprintf("Policy %s allows %d distinct probes of classified data %s (probes.%s), and they are used up. "+
		"A probe is a statement that compares, sorts or groups by classified columns, or that fails while it uses them.", b.Policy, b.Most, window, field)
	d.Hint = cure + " ask the owner of the DataSource for a higher bound."
	d.Flags = append(slices.Clip(d.Flags), "probes exhausted ("+field+")")
	return d
}

// probesUncounted is d refused because nobody can say how many probes are left.
func probesUncounted(d access.Decision, b access.Bound) access.Decision {
	d = tooManyProbes(d, b, "", "", "")
	d.Reason = fmt.Sprintf("Policy %s bounds the distinct probes of classified data in an hour (probes.perHour), and the operator that counts them cannot be reached.", b.Policy)
	d.Hint = "Try again in a minute; if it stays, ask the operator of Tidewaiter whether tidewaiter-operator runs and can be reached from this pod."
	d.Flags[len(d.Flags)-1] = "probes cannot be counted"
	return d
}

// Told says that the operation failed in a way that depends on the data it used, so
// that the failure is an answer: it counts as one more probe. Where there is no room
// for it, what uses tagged data is refused from then on: in this session, or for an
// hour.
func (x *Exchange) Told() {
	d := &x.decision
	if x.s == nil || x.touches == 0 || x.told.Swap(true) || !d.Probes.Any() {
		return
	}
	s := x.s
	minute, failed := s.p.now().Unix()/60, []uint64{^x.touches}
	s.probeLock.Lock()
	defer s.probeLock.Unlock()
	if b := d.Probes.PerSession; b.Most > 0 {
		s.probes.fail(failed, b.Most, minute, endless)
	}
	if b := d.Probes.PerHour; b.Most > 0 {
		h := &s.p.Budgets.probes
		h.mu.Lock()
		defer h.mu.Unlock()
		if set := h.of(s.identity.Subject(), minute); set != nil {
			if s.p.Budgets.lent() && set.fresh(failed) > 0 {
				s.p.Budgets.owe(s.p.Budgets.probeLease(s, b), 1)
			}
			set.fail(failed, b.Most, minute, 60)
		}
	}
}

// fail counts a probe that has already been made.
func (p *probeSet) fail(probes []uint64, most, minute, window int64) {
	if p.room(probes, most, minute, window) {
		p.add(probes, minute)
		return
	}
	p.shut = minute + window
}

// distinctProbes is how many the session has made, as far as they were counted.
func (s *Session) distinctProbes() int64 {
	s.probeLock.Lock()
	defer s.probeLock.Unlock()
	return int64(len(s.probes.at))
}
