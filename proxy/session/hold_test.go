package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// script is a policy, an approver and a record that do what a test says.
type script struct {
	decisions []access.Decision
	answers   []access.Answered
	errs      []error
	granted   bool
	questions []Question
	events    []access.Event
	failAt    access.EventKind
}

func (s *script) Decide(context.Context, access.Identity, *access.Operation) (access.Decision, error) {
	d := s.decisions[0]
	if len(s.decisions) > 1 {
		s.decisions = s.decisions[1:]
	}
	return d, nil
}

func (s *script) Granted(*Question) (access.Answered, bool) {
	return access.Answered{Outcome: access.AnswerApproved, Granted: true}, s.granted
}

func (s *script) Approve(ctx context.Context, q *Question) (access.Answered, error) {
	s.questions = append(s.questions, *q)
	q.Notify(access.Notice{Request: "data/r1"})
	i := len(s.questions) - 1
	if ctx.Err() != nil {
		return access.Answered{Outcome: access.AnswerWithdrawn}, access.AsDenial(context.Cause(ctx))
	}
	return s.answers[i], s.errs[i]
}

func (s *script) Append(e access.Event) error {
	if e.Kind == s.failAt {
		return errors.New("the disk is full")
	}
	s.events = append(s.events, e)
	return nil
}
func (s *script) Location() string { return "memory" }
func (s *script) Close() error     { return nil }

// kinds are those of what was recorded.
func (s *script) kinds() string {
	var all []string
	for _, e := range s.events {
		all = append(all, string(e.Kind))
	}
	return strings.Join(all, " ")
}

func (s *script) session() *Session {
	return &Session{p: &Pipeline{DataSource: "data/orders", Decider: s, Approver: s, Budgets: &Budgets{}}, record: s, name: "s1"}
}

func asks(rules ...string) access.Decision {
	d := access.Decision{
		Effect: access.RequireApproval, Policy: "data/p", Rule: rules[0],
		Approval: access.Approval{Timeout: time.Hour, TransactionTimeout: time.Minute, Approvers: 1},
	}
	for _, r := range rules {
		d.Approval.Rules = append(d.Approval.Rules, access.RuleRef{Policy: "data/p", Rule: r})
	}
	return d
}

func selecting() *access.Operation {
	return &access.Operation{Phase: access.PhaseRun, Text: "select 'secret'", Statements: []access.Statement{{Kind: "Select", Resources: []access.Resource{{Schema: "public", Name: "orders"}}}}}
}

var yes = access.Answered{Outcome: access.AnswerApproved}

func TestWhatIsApprovedIsDecidedAnew(t *testing.T) {
	allow, deny := access.Decision{Effect: access.Allow}, access.Decision{Policy: "data/p", Rule: "no"}
	for name, c := range map[string]struct {
		script script
		want   string // of the error
		kinds  string
	}{
		"by the same rules it runs":     {script{decisions: []access.Decision{asks("a")}}, "", "Decided Held Answered Decided"},
		"by fewer rules it runs":        {script{decisions: []access.Decision{asks("a", "b"), asks("b")}}, "", "Decided Held Answered Decided"},
		"what is allowed by now runs":   {script{decisions: []access.Decision{asks("a"), allow}}, "", "Decided Held Answered Decided"},
		"what is denied by now is not":  {script{decisions: []access.Decision{asks("a"), deny}}, "is denied", "Decided Held Answered Decided Ended"},
		"other rules are asked":         {script{decisions: []access.Decision{asks("a"), asks("a", "b")}}, "", "Decided Held Answered Decided Held Answered Decided"},
		"but not for ever":              {script{decisions: []access.Decision{asks("a"), asks("b"), asks("c"), asks("d")}}, "needs approval", "Decided Held Answered Decided Held Answered Decided Held Answered Decided Ended"},
		"an approver that says neither": {script{decisions: []access.Decision{asks("a")}, answers: make([]access.Answered, 1)}, "needs approval", "Decided Held Answered Ended"},
		"a grant needs nobody":          {script{decisions: []access.Decision{asks("a")}, granted: true}, "", "Decided Answered"},
		"a rule without a name asks nobody": {
			script{decisions: []access.Decision{{Effect: access.RequireApproval}}}, "needs approval", "Decided Ended",
		},
		"what cannot be recorded does not wait": {script{decisions: []access.Decision{asks("a")}, failAt: access.EventHeld}, "could not be recorded", "Decided Ended"},
		"nor run":                               {script{decisions: []access.Decision{asks("a")}, failAt: access.EventAnswered}, "could not be recorded", "Decided Held Ended"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &c.script
			if s.answers == nil {
				s.answers = []access.Answered{yes, yes, yes, yes}
			}
			s.errs = make([]error, 4)
			x, err := s.session().Begin(t.Context(), selecting())
			if c.want == "" && (err != nil || !x.live) || c.want != "" && (err == nil || x != nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, %v", x, err)
			}
			if got := s.kinds(); got != c.kinds {
				t.Errorf("recorded %s, want %s", got, c.kinds)
			}
			for _, q := range s.questions {
				if strings.Contains(q.Operation.Held.Text, "secret") {
					t.Error("people are shown a constant")
				}
			}
		})
	}
}

func TestAPrepareIsNotHeld(t *testing.T) {
	s := &script{decisions: []access.Decision{asks("a")}}
	op := selecting()
	op.Phase = access.PhasePrepare
	if x, err := s.session().Begin(t.Context(), op); err != nil || !x.live || len(s.questions) > 0 {
		t.Errorf("got %v, %v", x, err)
	}
	without := s.session()
	without.p.Approver = nil
	if _, err := without.Begin(t.Context(), op); err == nil || !strings.Contains(access.AsDenial(err).Detail, "Nobody can be asked here") {
		t.Errorf("without an approver: %v", err)
	}
}

func TestHowLongItIsHeldAndWhetherItsClientWaits(t *testing.T) {
	for name, c := range map[string]struct {
		refuse, transaction bool
		application         string
		want                time.Duration
		wantRefuse          bool
	}{
		"outside of a transaction": {want: time.Hour},
		"inside":                   {transaction: true, want: time.Minute},
		"the rule":                 {refuse: true, transaction: true, want: time.Hour, wantRefuse: true},
		"the client":               {application: "agent tidewaiter.dev/no-wait", want: time.Hour, wantRefuse: true},
	} {
		d := asks("a")
		d.Approval.Refuse = c.refuse
		s := &script{decisions: []access.Decision{d}, answers: []access.Answered{yes}, errs: make([]error, 1)}
		session, op := s.session(), selecting()
		session.hello.Application = c.application
		op.Held.InTransaction = c.transaction
		if _, err := session.Begin(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		if q := s.questions[0]; q.Timeout != c.want || q.Refuse != c.wantRefuse {
			t.Errorf("%s: %s, refuse %v", name, q.Timeout, q.Refuse)
		}
	}
}

func TestAResultAtItsLimitIsAskedForByItself(t *testing.T) {
	s := &script{decisions: []access.Decision{{Effect: access.Allow}}, answers: []access.Answered{yes, {Outcome: access.AnswerDenied}}, granted: true}
	s.errs = []error{nil, &access.Denial{What: "denied"}}
	session, op := s.session(), selecting()
	x, err := session.Begin(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	past := *op
	past.Exceeded = &access.Exceeded{Limit: access.LimitRowsPerHour, Rows: 7}
	d := asks("read")
	d.Approval.Refuse = true
	if err := session.exceed(t.Context(), x, &past, d); err != nil {
		t.Error(err)
	}
	q := s.questions[0]
	if q.Refuse || q.Timeout != time.Minute || len(q.Operation.Held.Digest) != 32 || q.What != "Select on public.orders needs approval to go on beyond rowsPerHour (policy data/p, rule read)" {
		t.Errorf("asked %+v", q)
	}
	if err := session.exceed(t.Context(), x, &past, d); err == nil || err.Error() != "denied" || !x.live {
		t.Errorf("denied: %v", err)
	}
}

func TestAResultThatMayGoOnIsDecidedAnew(t *testing.T) {
	masks := map[string]access.Mask{"pii/ssn": {Strategy: "Partial", KeepLast: 4}}
	limits := access.Limits{RowsPerStatement: 1, OnExceed: access.RequireApproval, Policy: "data/p", Rule: "read"}
	before := access.Decision{Effect: access.Allow, Limits: limits, Masks: masks}
	for name, c := range map[string]struct {
		now  access.Decision
		want string
	}{
		"as it was":      {before, ""},
		"asks by now":    {access.Decision{Effect: access.RequireApproval, Limits: limits, Masks: masks}, ""},
		"denied by now":  {access.Decision{Effect: access.Deny, Policy: "data/p", Rule: "never", Masks: masks}, "it is denied by now (policy data/p, rule never)"},
		"no decision":    {access.Decision{}, "it is denied by now"},
		"masked by now":  {access.Decision{Effect: access.Allow, Limits: limits, Masks: map[string]access.Mask{"pii/ssn": {Strategy: "Redact"}}}, "what is done to its values has changed"},
		"no mask by now": {access.Decision{Effect: access.Allow, Limits: limits}, "what is done to its values has changed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{decisions: []access.Decision{before, c.now}, answers: []access.Answered{yes}, errs: []error{nil}}
			x, err := s.session().Begin(t.Context(), selecting())
			if err != nil {
				t.Fatal(err)
			}
			if _, err = takes(t, x, 2); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(s.questions) != 1 {
				t.Errorf("%d questions", len(s.questions))
			}
		})
	}
}

// patient waits until its context ends.
type patient struct{ script }

func (*patient) Approve(ctx context.Context, _ *Question) (access.Answered, error) {
	<-ctx.Done()
	return access.Answered{Outcome: access.AnswerWithdrawn}, access.AsDenial(context.Cause(ctx))
}

func TestAResultDoesNotWaitForPeopleWhenTheProxyStops(t *testing.T) {
	limits := access.Limits{RowsPerStatement: 1, OnExceed: access.RequireApproval, Policy: "data/p", Rule: "read"}
	s := &script{decisions: []access.Decision{{Effect: access.Allow, Limits: limits}}}
	session, draining := s.session(), make(chan struct{})
	session.p.Approver, session.draining = &patient{}, draining
	x, err := session.Begin(t.Context(), selecting())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(draining) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := x.Take(2, 20, 0); !errors.Is(err, ErrPause) {
		t.Fatalf("got %v", err)
	}
	if err := x.Extend(ctx); err == nil || !strings.Contains(err.Error(), "the proxy is stopping") {
		t.Errorf("got %v", err)
	}
}
