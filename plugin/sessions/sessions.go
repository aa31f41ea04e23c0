// Package sessions shows Sessions: who uses which DataSource, and how fast.
//
// It must not know commands, flags or clients.
package sessions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// View says what a table of Sessions has.
type View struct {
	// Namespaces adds a column for them.
	Namespaces bool
	// Wide adds what does not fit beside the rest.
	Wide bool
	// Rates adds statements per second; nil leaves them out.
	Rates *Rates
	// Now is the time that spans are counted from.
	Now time.Time
}

// Sort puts sessions with open connections first, and then by name.
func Sort(all []*v1alpha1.Session) {
	slices.SortFunc(all, func(a, b *v1alpha1.Session) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		if a.Namespace != b.Namespace {
			return strings.Compare(a.Namespace, b.Namespace)
		}
		return strings.Compare(a.Name, b.Name)
	})
}

func order(s *v1alpha1.Session) int {
	switch s.Status.State {
	case v1alpha1.SessionActive:
		return 0
	case v1alpha1.SessionIdle:
		return 1
	case v1alpha1.SessionEnded:
		return 3
	default:
		return 2
	}
}

// Table of Sessions, in their order.
func Table(all []*v1alpha1.Session, v View) *table.Table {
	t := &table.Table{}
	column := func(names ...string) {
		for _, name := range names {
			right := strings.HasPrefix(name, ">")
			t.Columns = append(t.Columns, table.Column{Name: strings.TrimPrefix(name, ">"), Right: right, Max: 60, Shrink: name == "POD" || name == "DATASOURCE"})
		}
	}
	if v.Namespaces {
		column("NAMESPACE")
	}
	column("NAME", "POD", "DATASOURCE", "STATE", ">STATEMENTS")
	if v.Rates != nil {
		column(">PER SECOND")
	}
	column(">DENIED", ">MASKED", ">HELD", ">ROWS", ">BYTES", "LAST", "AGE")
	if v.Wide {
		column("SERVICEACCOUNT", ">CONNECTIONS", ">REVISION", ">ALARMS", "REPLICA", "MESSAGE")
	}
	for _, s := range all {
		t.Rows = append(t.Rows, row(s, v))
	}
	return t
}

func row(s *v1alpha1.Session, v View) (out []table.Cell) {
	add := func(text string, style table.Style) { out = append(out, table.Cell{Text: text, Style: style}) }
	count := func(n int64, style table.Style) {
		if n == 0 {
			style = table.Plain
		}
		add(table.Number(n), style)
	}
	st := &s.Status
	if v.Namespaces {
		add(s.Namespace, table.Plain)
	}
	add(s.Name, table.Plain)
	add(string(s.Spec.Pod.Name), table.Plain)
	add(s.Spec.DataSource.Namespace+"/"+string(s.Spec.DataSource.Name), table.Plain)
	add(string(State(s)), style(s))
	count(st.Statements, table.Plain)
	if v.Rates != nil {
		add(v.Rates.Of(s, v.Now), table.Plain)
	}
	count(st.Denied, table.Bad)
	count(st.Masked, table.Plain)
	count(st.Held, table.Attention)
	count(st.Rows, table.Plain)
	add(table.Bytes(st.Bytes), table.Plain)
	last := table.None
	if st.LastActivity != nil {
		last = table.Span(v.Now.Sub(st.LastActivity.Time))
	}
	add(last, table.Plain)
	add(table.Span(v.Now.Sub(s.CreationTimestamp.Time)), table.Plain)
	if v.Wide {
		add(string(s.Spec.ServiceAccount), table.Plain)
		count(st.Connections, table.Plain)
		count(st.Revision, table.Plain)
		count(st.Alarms, table.Bad)
		add(orNone(st.Replica), table.Plain)
		add(orNone(message(s)), table.Plain)
	}
	return out
}

func message(s *v1alpha1.Session) string {
	if r := s.Status.Rejection; r != nil {
		return fmt.Sprintf("revision %d refused: %s: %s", r.Revision, r.Reason, r.Message)
	}
	return s.Status.Message
}

// State of a Session; one of which nothing was heard yet counts as Lost.
func State(s *v1alpha1.Session) v1alpha1.SessionState {
	switch s.Status.State {
	case v1alpha1.SessionActive, v1alpha1.SessionIdle, v1alpha1.SessionRevoked, v1alpha1.SessionEnded:
		return s.Status.State
	default:
		return v1alpha1.SessionLost
	}
}

func style(s *v1alpha1.Session) table.Style {
	switch State(s) {
	case v1alpha1.SessionActive:
		return table.Good
	case v1alpha1.SessionIdle:
		return table.Plain
	case v1alpha1.SessionEnded:
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
