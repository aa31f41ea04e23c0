// Package approval is what the plugin does with AccessRequests: it lists them, shows one as an approver has to see it, answers it with
// an AccessDecision for exactly what was shown, waits for what becomes of that, and asks for access ahead of time.
//
// It must not know commands and flags. Who may decide is decided in the cluster; what is asked here before saves a prompt.
package approval

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// View says what a table of requests has.
type View struct {
	// Namespaces adds a column for them.
	Namespaces bool
	// Wide adds what does not fit beside the rest.
	Wide bool
	// Now is the time that spans are counted from.
	Now time.Time
}

// State of a request; one that nobody has looked at yet is Pending.
func State(r *v1alpha1.AccessRequest) v1alpha1.AccessRequestState {
	if r.Status.State == "" {
		return v1alpha1.RequestPending
	}
	return r.Status.State
}

// Open says whether a request waits for people.
func Open(r *v1alpha1.AccessRequest) bool { return State(r) == v1alpha1.RequestPending }

// Sort puts what waits first, what is void soonest at the top, and then the newest.
func Sort(requests []*v1alpha1.AccessRequest) {
	slices.SortFunc(requests, func(a, b *v1alpha1.AccessRequest) int {
		if Open(a) != Open(b) {
			if Open(a) {
				return -1
			}
			return 1
		}
		byTime := b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
		if Open(a) {
			byTime = a.Spec.ExpiresAt.Compare(b.Spec.ExpiresAt.Time)
		}
		return cmp.Or(byTime, strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// Table of requests, in their order.
func Table(requests []*v1alpha1.AccessRequest, v View) *table.Table {
	t := &table.Table{}
	if v.Namespaces {
		t.Columns = append(t.Columns, table.Column{Name: "NAMESPACE"})
	}
	t.Columns = append(t.Columns, table.Column{Name: "NAME"}, table.Column{Name: "REQUESTER", Shrink: true}, table.Column{Name: "RULE"}, table.Column{Name: "WHAT", Max: 48, Shrink: true},
		table.Column{Name: "ROWS", Right: true}, table.Column{Name: "STATE"}, table.Column{Name: "EXPIRES"}, table.Column{Name: "AGE"})
	if v.Wide {
		t.Columns = append(t.Columns, table.Column{Name: "DATASOURCE"}, table.Column{Name: "POLICY"}, table.Column{Name: "MISSING"}, table.Column{Name: "UNTIL"}, table.Column{Name: "REASON", Max: 60})
	}
	for _, r := range requests {
		t.Rows = append(t.Rows, row(r, v))
	}
	return t
}

func row(r *v1alpha1.AccessRequest, v View) []table.Cell {
	var out []table.Cell
	add := func(text string, style table.Style) { out = append(out, table.Cell{Text: text, Style: style}) }
	if v.Namespaces {
		add(r.Namespace, table.Plain)
	}
	add(r.Name, table.Plain)
	add(requester(r), table.Plain)
	add(ruleOf(r), table.Plain)
	add(what(r), table.Plain)
	add(rows(r), table.Plain)
	add(string(State(r)), stateStyle(r))
	expires, style := expiry(r, v.Now)
	add(expires, style)
	add(table.Span(v.Now.Sub(r.CreationTimestamp.Time)), table.Plain)
	if v.Wide {
		add(string(r.Spec.DataSource.Name), table.Plain)
		add(string(r.Spec.Policy), table.Plain)
		add(orNone(r.Status.Missing), table.Plain)
		until := table.None
		if r.Status.GrantedUntil != nil {
			until = table.Clock(r.Status.GrantedUntil.Time, v.Now)
		}
		add(until, table.Plain)
		add(orNone(r.Spec.Reason), table.Plain)
	}
	return out
}

// requester is shop/report-agent (7d9f): the workload, and what its pod is called beyond that.
func requester(r *v1alpha1.AccessRequest) string {
	out := r.Spec.Requester.Namespace + "/" + string(r.Spec.Requester.ServiceAccount)
	if pod := r.Spec.Requester.Pod; pod != nil {
		name := string(pod.Name)
		out += " (" + name[strings.LastIndexByte(name, '-')+1:] + ")"
	}
	return out
}

func ruleOf(r *v1alpha1.AccessRequest) string {
	if n := len(r.Spec.OtherRules); n > 0 {
		return r.Spec.Rule + " +" + table.Number(int64(n))
	}
	return r.Spec.Rule
}

// what is asked for, in the words of the request or made from it.
func what(r *v1alpha1.AccessRequest) string {
	switch {
	case r.Spec.Summary != "":
		return r.Spec.Summary
	case r.Spec.Statement != nil:
		return r.Spec.Statement.Text
	case r.Spec.Access != nil:
		return accessWords(r.Spec.Access)
	default:
		return table.None
	}
}

func accessWords(a *v1alpha1.RequestedAccess) string {
	return joined(a.Statements) + " on " + joined(a.Tables) + " for " + duration(a.Duration.Duration)
}

func joined[T ~string](all []T) string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = string(one)
	}
	return strings.Join(out, ", ")
}

// duration as people write it: 1h, not 1h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func rows(r *v1alpha1.AccessRequest) string {
	if r.Spec.Statement == nil || r.Spec.Statement.EstimatedRows == nil {
		return table.None
	}
	return table.About(*r.Spec.Statement.EstimatedRows)
}

func expiry(r *v1alpha1.AccessRequest, now time.Time) (string, table.Style) {
	left := r.Spec.ExpiresAt.Sub(now)
	switch {
	case !Open(r):
		return table.None, table.Plain
	case left <= 0:
		return "expired", table.Bad
	case left < 2*time.Minute:
		return table.Span(left), table.Attention
	default:
		return table.Span(left), table.Plain
	}
}

func stateStyle(r *v1alpha1.AccessRequest) table.Style {
	switch State(r) {
	case v1alpha1.RequestPending:
		return table.Attention
	case v1alpha1.RequestApproved:
		return table.Good
	case v1alpha1.RequestExpired, v1alpha1.RequestWithdrawn:
		return table.Faint
	default:
		return table.Bad
	}
}

func orNone(text string) string {
	if text == "" {
		return table.None
	}
	return text
}

// Summary is a request on one line: who asks for what.
func Summary(r *v1alpha1.AccessRequest) string {
	return table.Line(requester(r)) + ": " + table.Clip(table.Line(what(r)), 60)
}
