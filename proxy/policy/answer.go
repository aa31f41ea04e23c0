package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// maxApprovalTimeout bounds what a bundle may ask for.
const maxApprovalTimeout = 24 * time.Hour

// answer is the bundle's decision as Rego gives it.
type answer struct {
	Effect   string                 `json:"effect"`
	Policy   string                 `json:"policy"`
	Rule     string                 `json:"rule"`
	Reason   string                 `json:"reason"`
	Hint     string                 `json:"hint"`
	Observed bool                   `json:"observed"`
	Flags    []string               `json:"flags"`
	Masks    map[string]access.Mask `json:"masks"`
	Limits   struct {
		RowsPerStatement  int64  `json:"rowsPerStatement"`
		BytesPerStatement int64  `json:"bytesPerStatement"`
		RowsPerHour       int64  `json:"rowsPerHour"`
		BytesPerHour      int64  `json:"bytesPerHour"`
		OnExceed          string `json:"onExceed"`
		Policy            string `json:"policy"`
		Rule              string `json:"rule"`
		BytesPolicy       string `json:"bytesPolicy"`
		BytesRule         string `json:"bytesRule"`
	} `json:"limits"`
	Probes struct {
		PerSession access.Bound `json:"perSession"`
		PerHour    access.Bound `json:"perHour"`
	} `json:"probes"`
	Approval struct {
		TimeoutSeconds            int64            `json:"timeoutSeconds"`
		TransactionTimeoutSeconds int64            `json:"transactionTimeoutSeconds"`
		Wait                      string           `json:"wait"`
		Approvers                 int              `json:"approvers"`
		Grant                     string           `json:"grant"`
		Rules                     []access.RuleRef `json:"rules"`
	} `json:"approval"`
}

// decisionOf reads an answer strictly: a field that is not known here may be a
// restriction that this version cannot keep, and is an error.
func decisionOf(value any) (access.Decision, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return access.Decision{}, fmt.Errorf("policy: answer: %w", err)
	}
	var a answer
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return access.Decision{}, fmt.Errorf("policy: answer: %w", err)
	}
	l := a.Limits
	if min(l.RowsPerStatement, l.BytesPerStatement, l.RowsPerHour, l.BytesPerHour) < 0 {
		return access.Decision{}, fmt.Errorf("policy: answer: a limit is negative")
	}
	if min(a.Probes.PerSession.Most, a.Probes.PerHour.Most) < 0 {
		return access.Decision{}, fmt.Errorf("policy: answer: a bound of probes is negative")
	}
	return access.Decision{
		Effect: effect(a.Effect), Policy: a.Policy, Rule: a.Rule, Reason: a.Reason, Hint: a.Hint,
		Observed: a.Observed, Flags: a.Flags, Masks: a.Masks,
		Limits: access.Limits{
			RowsPerStatement: l.RowsPerStatement, BytesPerStatement: l.BytesPerStatement,
			RowsPerHour: l.RowsPerHour, BytesPerHour: l.BytesPerHour,
			OnExceed: onExceed(l.OnExceed), Policy: l.Policy, Rule: l.Rule, BytesPolicy: l.BytesPolicy, BytesRule: l.BytesRule,
		},
		Probes: access.Probes{PerSession: a.Probes.PerSession, PerHour: a.Probes.PerHour},
		Approval: access.Approval{
			Timeout: seconds(a.Approval.TimeoutSeconds), TransactionTimeout: seconds(a.Approval.TransactionTimeoutSeconds),
			Refuse: a.Approval.Wait != "" && a.Approval.Wait != "Hold", Approvers: a.Approval.Approvers, Grant: a.Approval.Grant,
			Rules: a.Approval.Rules,
		},
	}, nil
}

// seconds is a time that a bundle gives, within bounds. 0 holds nothing.
func seconds(n int64) time.Duration {
	return time.Duration(max(0, min(n, int64(maxApprovalTimeout/time.Second)))) * time.Second
}

// effect is Deny for every word that is not one of the milder two.
func effect(word string) access.Effect {
	switch word {
	case "Allow":
		return access.Allow
	case "RequireApproval":
		return access.RequireApproval
	default:
		return access.Deny
	}
}

// onExceed knows no Allow: at a limit nothing goes on by itself.
func onExceed(word string) access.Effect {
	if word == "RequireApproval" {
		return access.RequireApproval
	}
	return access.Deny
}
