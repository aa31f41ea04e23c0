package postgres

import (
	"maps"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
)

// keep gives an operation the text and the parameters that a recording may hold: without what meets tagged columns, and
// without everything where that is not known.
func keep(op *access.Operation, a *core.Ask, result *analysis.Result) {
	r := &result.Recorded
	if r.Text == "" && a.Text != "" { // one of several statements, of which only the facts are known
		unread(op, a)
		return
	}
	op.Text, op.Hides = r.Text, r.Hides
	if r.Cut || len(r.Text) > analysis.MaxRecorded {
		op.TextSize = int64(len(a.Text))
	}
	if op.Parameters = a.Parameters; hides(r, len(a.Parameters)) {
		op.Parameters, op.Hides = hide(a.Parameters, r.Parameters), true
	}
}

// unread keeps nothing of a statement that was not understood but what kind of text it is.
func unread(op *access.Operation, a *core.Ask) {
	r := analysis.Unread(a.Text)
	op.Text, op.Hides, op.Parameters = r.Text, true, hide(a.Parameters, nil)
	op.TextSize = int64(len(a.Text))
}

// hides reports whether one of n parameters may not be kept.
func hides(r *analysis.Recorded, n int) bool {
	if n > len(r.Parameters) {
		return true
	}
	for _, shown := range r.Parameters[:n] {
		if !shown {
			return true
		}
	}
	return false
}

// hide leaves the parameters out that are not shown. Those beyond shown are not.
func hide(params []access.Value, shown []bool) []access.Value {
	if len(params) == 0 {
		return nil
	}
	out := make([]access.Value, len(params))
	for i, p := range params {
		if i < len(shown) && shown[i] {
			out[i] = p
		} else {
			out[i] = access.Value{Null: p.Null, Masked: !p.Null}
		}
	}
	return out
}

// recordedSettings are those of a startup message as a recording may hold them: an application's own, which have a dot in
// their names, can be anything, such as a token.
func recordedSettings(settings map[string]string) map[string]string {
	out := maps.Clone(settings)
	for name := range out {
		if strings.Contains(name, ".") || name == "options" {
			out[name] = strings.Trim(analysis.Hidden, "'")
		}
	}
	return out
}
