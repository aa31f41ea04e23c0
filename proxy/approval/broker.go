package approval

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

const (
	// maxHolds bounds the statements of a pod that are held at a time, maxOpen those of a
	// data source that people are asked about; the others wait for their turn.
	maxHolds = 256
	maxOpen  = 10
	// maxPerSession bounds the requests of one connection that does not wait for them.
	maxPerSession = 10
	// grace is how long the operator's word that nobody has answered in time may take.
	grace = 2 * time.Second
	// nameWait is how long a client that does not wait is kept for the request's name.
	nameWait = 5 * time.Second
)

// Broker holds statements until people have answered. It is safe for concurrent use.
type Broker struct {
	now  func() time.Time
	hint func(request string) string
	wake chan struct{} // there may be something to send

	mu     sync.Mutex
	holds  []*hold // the oldest first: that is the order of turns
	byID   map[string]*hold
	byKey  map[key]*hold // those whose clients come again
	grants []*grant
	gone   []*sidecarv1alpha1.ApprovalWithdrawal // to be sent
}

var _ session.Approver = (*Broker)(nil)

// New returns a broker that has no stream yet. now is a monotonic clock; nil: time.Now.
func New(now func() time.Time) *Broker {
	if now == nil {
		now = time.Now
	}
	return &Broker{now: now, hint: access.ApproveHint, wake: make(chan struct{}, 1), byID: map[string]*hold{}, byKey: map[key]*hold{}}
}

// HintBy makes the broker say in another way how somebody answers; it is called before
// anything is held.
func (b *Broker) HintBy(hint func(request string) string) { b.hint = hint }

// hold is a statement that waits. Its fields are guarded by the broker's mu.
type hold struct {
	id         string
	hint       func(request string) string
	key        key // zero: it cannot come again
	session    string
	dataSource string
	request    *sidecarv1alpha1.ApprovalRequest
	what       string
	begun      time.Time
	until      time.Time
	refuse     bool        // the client comes again
	expiry     *time.Timer // of one that nobody waits for

	open    bool // people are asked, or to be asked as soon as there is a stream
	sent    bool // over the stream of now
	asked   bool // over any
	name    string
	expires time.Time
	named   chan struct{} // closed once the name is known
	answer  *access.Answered
	done    chan struct{} // closed once there is an answer
}

// Granted reports whether a grant covers the operation, or it has come again after its
// approval; that is then used up.
func (b *Broker) Granted(q *session.Question) (access.Answered, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.byKey[keyOf(q)]; h != nil && h.answer != nil && h.answer.Outcome == access.AnswerApproved && b.now().Before(h.until) {
		return b.use(h), true
	}
	if g := b.covering(q); g != nil {
		return access.Answered{Request: g.request, Outcome: access.AnswerApproved, Grant: g.words, Granted: true}, true
	}
	return access.Answered{}, false
}

// use takes the approval of a statement that has come again: it is good for once.
func (b *Broker) use(h *hold) access.Answered {
	a := *h.answer
	a.Granted = true
	b.remove(h)
	return a
}

// Approve asks people, and waits for them unless the client comes again.
func (b *Broker) Approve(ctx context.Context, q *session.Question) (access.Answered, error) {
	h, refused := b.admit(q)
	if refused != nil {
		return access.Answered{Outcome: access.AnswerRefused, Reason: refused.Detail}, refused
	}
	if h.refuse {
		return b.refuse(ctx, h, q)
	}
	return b.wait(ctx, h, q)
}

// admit begins to hold a statement, or finds the one that has come again.
func (b *Broker) admit(q *session.Question) (*hold, *access.Denial) {
	request, refused := requestOf(q)
	if refused != nil {
		return nil, refused
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := keyOf(q)
	if h := b.byKey[k]; h != nil && q.Refuse {
		return h, nil
	}
	if len(b.holds) >= maxHolds {
		return nil, tooMany(q)
	}
	now := b.now()
	h := &hold{
		id: newID(), hint: b.hint, session: q.Session, dataSource: q.DataSource, request: request, what: q.What, begun: now, until: now.Add(q.Timeout),
		refuse: q.Refuse && k != key{}, named: make(chan struct{}), done: make(chan struct{}),
	}
	if h.request.Hold = h.id; h.refuse {
		if b.ofSession(q.Session) >= maxPerSession {
			return nil, tooManyOfOne(q)
		}
		h.key, b.byKey[k] = k, h
		h.expiry = time.AfterFunc(q.Timeout, func() { b.expire(h) })
	}
	h.request.Refuse = h.refuse
	b.holds = append(b.holds, h)
	b.byID[h.id] = h
	b.turns(h.dataSource)
	return h, nil
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return hex.EncodeToString(id[:])
}

// ofSession counts what a connection has asked for without waiting.
func (b *Broker) ofSession(name string) int {
	n := 0
	for _, h := range b.holds {
		if h.refuse && h.session == name {
			n++
		}
	}
	return n
}

// turns gives free places of a data source to those that wait the longest.
func (b *Broker) turns(dataSource string) {
	free := maxOpen
	for _, h := range b.holds {
		if h.dataSource == dataSource && h.open && h.answer == nil {
			free--
		}
	}
	for _, h := range b.holds {
		if free <= 0 {
			return
		}
		if h.dataSource == dataSource && !h.open && h.answer == nil {
			h.open = true
			free--
			b.awaken()
		}
	}
}

func (b *Broker) awaken() {
	select {
	case b.wake <- struct{}{}:
	default: // it is awake
	}
}

// withdraw ends a hold that nobody waits for any longer.
func (b *Broker) withdraw(h *hold, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(h, reason)
}

// drop removes a hold, and takes its request away if there is one. It is called with the
// lock held.
func (b *Broker) drop(h *hold, reason string) {
	if b.byID[h.id] != h {
		return
	}
	if h.asked && h.answer == nil {
		b.gone = append(b.gone, &sidecarv1alpha1.ApprovalWithdrawal{Hold: h.id, Reason: cut(reason, maxReason)})
		if len(b.gone) > maxHolds { // without a stream for long: the oldest are void by themselves
			b.gone = b.gone[1:]
		}
		b.awaken()
	}
	b.remove(h)
}

// remove forgets a hold. It is called with the lock held.
func (b *Broker) remove(h *hold) {
	if i := slices.Index(b.holds, h); i >= 0 {
		b.holds = slices.Delete(b.holds, i, i+1)
	}
	delete(b.byID, h.id)
	if b.byKey[h.key] == h {
		delete(b.byKey, h.key)
	}
	if h.expiry != nil {
		h.expiry.Stop()
	}
	b.turns(h.dataSource)
}

// expire ends a hold that nobody waits for.
func (b *Broker) expire(h *hold) { b.withdraw(h, "nobody has answered in time") }

// Forget ends everything about a data source that may not be used any more.
func (b *Broker) Forget(dataSource, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range slices.Clone(b.holds) {
		if h.dataSource == dataSource && h.refuse { // for the others their sessions end
			b.drop(h, reason)
		}
	}
	b.grants = slices.DeleteFunc(b.grants, func(g *grant) bool { return g.dataSource == dataSource })
}

// Held returns how many statements are held.
func (b *Broker) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.holds)
}
