package access

import (
	"slices"
	"time"
)

// Effect is what a decision does. The zero value denies.
type Effect uint8

// The effects, strictest first.
const (
	Deny Effect = iota
	RequireApproval
	Allow
)

// String returns the effect's name as policies write it.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "Allow"
	case RequireApproval:
		return "RequireApproval"
	default:
		return "Deny"
	}
}

// Decision is the answer to an Operation. The zero value denies.
type Decision struct {
	Effect Effect
	// Policy ("namespace/name") and Rule say who decided; for the built-in guard
	// Rule is "guard <Feature>"; both are empty where no rule matched.
	Policy string
	Rule   string
	// Reason is a sentence for a person. Hint says what to do next.
	Reason string
	Hint   string
	// Observed: the policy is in mode Observe and Reason says what Enforce
	// would have refused; Effect is Allow.
	Observed bool
	// Flags are remarks that are recorded and counted, such as
	// "predicate on pii/ssn".
	Flags []string
	// Masks says for each tag in the operation what happens to its values. A tag
	// that is missing here is redacted.
	Masks map[string]Mask
	// Limits bound the result.
	Limits Limits
	// Probes bound the distinct comparisons with tagged columns.
	Probes Probes
	// Approval says how a person answers, when Effect is RequireApproval.
	Approval Approval
	// Revision of the policy bundle that decided.
	Revision uint64
}

// Mask is a masking strategy for the values of a tag. The zero value redacts.
type Mask struct {
	Strategy   string `json:"strategy"` // Redact, Null, Partial, Hash, DateTrunc, Reveal; "" = Redact
	KeepDomain bool   `json:"keepDomain,omitempty"`
	KeepFirst  int    `json:"keepFirst,omitempty"`
	KeepLast   int    `json:"keepLast,omitempty"`
	TruncateTo string `json:"truncateTo,omitempty"` // Year, Month, Day, Hour
	Mode       string `json:"mode,omitempty"`       // Result or Source; "" = Result
	Rule       string `json:"rule,omitempty"`       // "namespace/policy masks[1]"
}

// AtSource reports whether values are masked where a statement reads them, rather
// than in its result. A mode that is not known counts as that, the stricter one.
func (m Mask) AtSource() bool {
	return m.Mode != "" && m.Mode != "Result" && m.Strategy != "Reveal"
}

// Limits bound what one statement, or one subject in an hour, may read. 0 in a
// field means that the policy sets no bound there.
type Limits struct {
	RowsPerStatement  int64
	BytesPerStatement int64
	RowsPerHour       int64
	BytesPerHour      int64
	// OnExceed is Deny or RequireApproval.
	OnExceed Effect
	// Policy and Rule that set them, for the error text and as the budget's key.
	Policy string
	Rule   string
	// BytesPolicy and BytesRule set BytesPerHour, where that is another rule.
	BytesPolicy string
	BytesRule   string
}

// RuleFor returns the policy and the rule whose budget a limit is counted under.
func (l *Limits) RuleFor(limit string) (policy, rule string) {
	if limit == LimitBytesPerHour && l.BytesRule != "" {
		return l.BytesPolicy, l.BytesRule
	}
	return l.Policy, l.Rule
}

// Any reports whether a limit is set.
func (l Limits) Any() bool {
	return l.RowsPerStatement > 0 || l.BytesPerStatement > 0 || l.RowsPerHour > 0 || l.BytesPerHour > 0
}

// Probes bound distinct probes, see Operation.Probes. The zero value bounds nothing.
type Probes struct {
	PerSession Bound
	PerHour    Bound
}

// Any reports whether probes are bounded.
func (p Probes) Any() bool { return p.PerSession.Most > 0 || p.PerHour.Most > 0 }

// Bound is a number and the policy that sets it; 0 means that none does.
type Bound struct {
	Most   int64  `json:"most"`
	Policy string `json:"policy"`
}

// Approval says how a held operation is approved. Where several rules ask, it is
// the strictest of what they say.
type Approval struct {
	// Timeout is how long it is held, TransactionTimeout how long inside of an open
	// transaction. 0 holds nothing.
	Timeout            time.Duration
	TransactionTimeout time.Duration
	// Refuse: the client does not wait, but is refused with the request's name and
	// comes again.
	Refuse    bool
	Approvers int
	Grant     string // Statement, Session, or a duration
	// Rules are all that ask, sorted. Empty means the one that the decision names.
	Rules []RuleRef
}

// RuleRef names a rule of a policy.
type RuleRef struct {
	Policy string `json:"policy"` // "namespace/name"
	Rule   string `json:"rule"`
}

// Asking returns the rules that ask for the approval, the one that the decision
// names first. It is empty where none is named: nobody can be asked then.
func (d *Decision) Asking() []RuleRef {
	first := RuleRef{d.Policy, d.Rule}
	if len(d.Approval.Rules) == 0 {
		if d.Policy == "" || d.Rule == "" {
			return nil
		}
		return []RuleRef{first}
	}
	rules := slices.Clone(d.Approval.Rules)
	if i := slices.Index(rules, first); i > 0 {
		rules = slices.Insert(slices.Delete(rules, i, i+1), 0, first)
	}
	return rules
}
