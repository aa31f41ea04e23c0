package compile

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// rule is a policy's rule with every default, wildcard and unit worked out.
type rule struct {
	Policy   string    `json:"policy"` // "namespace/name"
	Name     string    `json:"name"`
	Mode     string    `json:"mode"`
	Action   string    `json:"action"`
	Kinds    []string  `json:"kinds"`
	Features []string  `json:"features"`
	Tables   []string  `json:"tables,omitempty"` // as written; document.Tables matches them
	Limits   *limits   `json:"limits,omitempty"`
	Approval *approval `json:"approval,omitempty"`
}

// limits are numbers of rows and bytes; a bound that is not set is left out.
type limits struct {
	RowsPerStatement  int64  `json:"rowsPerStatement,omitempty"`
	BytesPerStatement int64  `json:"bytesPerStatement,omitempty"`
	RowsPerHour       int64  `json:"rowsPerHour,omitempty"`
	BytesPerHour      int64  `json:"bytesPerHour,omitempty"`
	OnExceed          string `json:"onExceed"`
}

type approval struct {
	TimeoutSeconds int64 `json:"timeoutSeconds"`
	// TransactionTimeoutSeconds is the timeout inside of an open transaction.
	TransactionTimeoutSeconds int64 `json:"transactionTimeoutSeconds"`
	// Wait is Hold or Refuse.
	Wait      string `json:"wait"`
	Approvers int32  `json:"approvers"`
	Grant     string `json:"grant"`
	// GrantRank orders grants, the narrowest first: Statement, Session, then
	// durations.
	GrantRank int64 `json:"grantRank"`
}

func compileRule(policy, mode string, r *v1alpha1.Rule) (rule, error) {
	out := rule{Policy: policy, Name: r.Name, Mode: mode, Action: action(r.Action)}
	var err error
	if out.Kinds, out.Features, err = split(r.Statements); err != nil {
		return rule{}, err
	}
	for _, t := range r.Tables {
		out.Tables = append(out.Tables, string(t))
	}
	if out.Action != string(v1alpha1.ActionDeny) {
		if out.Limits, err = compileLimits(r.Limits); err != nil {
			return rule{}, err
		}
	}
	if out.Action == string(v1alpha1.ActionRequireApproval) || out.Limits.asks() {
		out.Approval = compileApproval(r.EffectiveApproval())
	}
	return out, nil
}

// action is Deny for everything that is not one of the milder two.
func action(a v1alpha1.RuleAction) string {
	if a == v1alpha1.ActionAllow || a == v1alpha1.ActionRequireApproval {
		return string(a)
	}
	return string(v1alpha1.ActionDeny)
}

// split sorts classes into kinds and features; "*" is written out.
func split(classes []v1alpha1.StatementClass) (kinds, features []string, err error) {
	kinds, features = []string{}, []string{}
	for i, c := range classes {
		switch {
		case c == v1alpha1.AnyOrdinaryKind:
			for _, k := range v1alpha1.OrdinaryKinds() {
				kinds = append(kinds, string(k))
			}
		case slices.Contains(v1alpha1.OrdinaryKinds(), c), slices.Contains(v1alpha1.NamedKinds(), c):
			kinds = append(kinds, string(c))
		case slices.Contains(v1alpha1.QuantityFeatures(), c), slices.Contains(v1alpha1.DangerousFeatures(), c):
			features = append(features, string(c))
		default:
			return nil, nil, fmt.Errorf("statements[%d]: %q is neither a kind nor a feature of statements", i, c)
		}
	}
	slices.Sort(kinds)
	slices.Sort(features)
	return slices.Compact(kinds), slices.Compact(features), nil
}

func compileLimits(l *v1alpha1.Limits) (*limits, error) {
	if l == nil {
		return nil, nil
	}
	out := &limits{OnExceed: string(v1alpha1.ExceedDeny)}
	if l.OnExceed == v1alpha1.ExceedRequireApproval {
		out.OnExceed = string(l.OnExceed)
	}
	bounds := []struct {
		name string
		from *int64
		to   *int64
	}{
		{"rowsPerStatement", l.RowsPerStatement, &out.RowsPerStatement},
		{"rowsPerHour", l.RowsPerHour, &out.RowsPerHour},
		{"bytesPerStatement", bytesOf(l.BytesPerStatement), &out.BytesPerStatement},
		{"bytesPerHour", bytesOf(l.BytesPerHour), &out.BytesPerHour},
	}
	for _, b := range bounds {
		if b.from == nil {
			continue
		}
		// 0 would read as "no bound", so it must never get through.
		if *b.to = *b.from; *b.to < 1 {
			return nil, fmt.Errorf("limits.%s: must be at least 1", b.name)
		}
	}
	return out, nil
}

func bytesOf(q *resource.Quantity) *int64 {
	if q == nil {
		return nil
	}
	n := q.Value()
	return &n
}

// asks reports whether a person is asked when a limit is reached.
func (l *limits) asks() bool {
	return l != nil && l.OnExceed == string(v1alpha1.ExceedRequireApproval)
}

func compileApproval(a v1alpha1.Approval) *approval {
	out := &approval{
		TimeoutSeconds: max(1, int64(a.Timeout.Duration/time.Second)),
		Wait:           string(v1alpha1.WaitRefuse), // also what a word means that is not known
		Approvers:      max(1, a.Approvers),
		Grant:          string(v1alpha1.GrantStatement),
	}
	out.TransactionTimeoutSeconds = min(out.TimeoutSeconds, max(1, int64(a.TransactionTimeout.Duration/time.Second)))
	if a.Wait == v1alpha1.WaitHold {
		out.Wait = string(a.Wait)
	}
	if d, ok := a.Grant.Duration(); ok {
		out.Grant, out.GrantRank = d.String(), 2+int64(d/time.Second)
	} else if a.Grant == v1alpha1.GrantSession {
		out.Grant, out.GrantRank = string(a.Grant), 1
	}
	return out
}
