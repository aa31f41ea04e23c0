package approval

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// list notes in status what became of a decision.
func list(status *v1alpha1.AccessRequestStatus, d *v1alpha1.AccessDecision, refused error) {
	by := "nobody"
	if d.Spec.DecidedBy != nil && d.Spec.DecidedBy.Username != "" {
		by = d.Spec.DecidedBy.Username
	}
	w := v1alpha1.WeighedDecision{Name: v1alpha1.ObjectName(d.Name), Decision: d.Spec.Decision, By: by}
	if refused != nil {
		w.Refused = Shorten(refused.Error(), 512)
	}
	status.Decisions = fit(append(status.Decisions, w))
}

// fit drops what status has no room for: of those that count for nothing, the latest.
func fit(all []v1alpha1.WeighedDecision) []v1alpha1.WeighedDecision {
	for i := len(all) - 1; i >= 0 && len(all) > listed; i-- {
		if all[i].Refused != "" {
			all = slices.Delete(all, i, i+1)
		}
	}
	return all[:min(len(all), listed)]
}

// missing says what a request still needs, or nothing.
func missing(approvers []*v1alpha1.AccessDecision, terms *Terms) string {
	if terms.Approvers < 1 {
		return "terms that can be met" // the zero Terms
	}
	var out []string
	if len(approvers) < terms.Approvers {
		out = append(out, fmt.Sprintf("%d of %d approvals", terms.Approvers-len(approvers), terms.Approvers))
	}
	for _, group := range terms.AllOf {
		if !slices.ContainsFunc(approvers, func(d *v1alpha1.AccessDecision) bool {
			return slices.Contains(d.Spec.DecidedBy.Groups, string(group))
		}) {
			out = append(out, "somebody of group "+string(group))
		}
	}
	return Shorten(strings.Join(out, "; "), 256)
}

// said is who decided, and their words.
func said(d *v1alpha1.AccessDecision) string {
	by := d.Spec.DecidedBy.Username
	if d.Spec.Reason == "" {
		return by
	}
	return by + ": " + Shorten(d.Spec.Reason, 512)
}

func joined(groups []v1alpha1.GroupName, last string) string {
	var out strings.Builder
	for i, g := range groups {
		switch {
		case i > 0 && i == len(groups)-1:
			out.WriteString(" " + last + " ")
		case i > 0:
			out.WriteString(", ")
		}
		out.WriteString(string(g))
	}
	return out.String()
}

// Shorten cuts a text at a character's boundary, to that many bytes.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const tail = "…"
	at := most - len(tail)
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at] + tail
}

// Summary is access in a few words, such as "Update on public.orders for 1h".
func Summary(access *v1alpha1.RequestedAccess) string {
	if access == nil {
		return ""
	}
	var statements, tables []string
	for _, s := range access.Statements {
		statements = append(statements, string(s))
	}
	for _, t := range access.Tables {
		tables = append(tables, string(t))
	}
	length := access.Duration.Duration.String()
	if strings.HasSuffix(length, "m0s") {
		length = strings.TrimSuffix(length, "0s")
	}
	if strings.HasSuffix(length, "h0m") {
		length = strings.TrimSuffix(length, "0m")
	}
	tail := " for " + length
	return Shorten(strings.Join(statements, ", ")+" on "+strings.Join(tables, ", "), 256-len(tail)) + tail
}
