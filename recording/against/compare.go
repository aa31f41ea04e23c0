package against

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// hidden is what a recording has in place of a constant that meets tagged data.
const hidden = "‹masked›"

// copies are statements that can run programs and write files.
var copies = regexp.MustCompile(`(?i)^[\s(;]*copy\b`)

// changes are what statements do on top that change nothing but tables.
var changes = []string{"UnboundedUpdate", "UnboundedDelete", "Laundering"}

// unrunnable says why an operation is not run again, or nothing.
func (r *run) unrunnable(ended *access.Ended, o Options) string {
	d := r.decided
	switch {
	case ended.Outcome != access.OutcomeDone && ended.Outcome != access.OutcomeFailed:
		return "it did not run to its end: " + string(ended.Outcome)
	case strings.Contains(d.Text, hidden):
		return "constants of it are masked"
	case d.TextSize > 0:
		return "its text is not all recorded"
	case slices.Contains(d.Kinds, "CopyIn"):
		return "what it copied in is not recorded"
	case slices.Contains(d.Kinds, "CopyOut"), copies.MatchString(d.Text):
		return "what it copied out is not compared"
	case !within(d.Features, harmless) && (!o.Writes || !within(d.Features, slices.Concat(harmless, changes))):
		return "it may act outside of the transaction: " + strings.Join(d.Features, ", ")
	case !o.Writes && !r.reads():
		return "it may write, or change the session: say --writes, on a copy that may be changed"
	}
	for i := range d.Parameters {
		if p := &d.Parameters[i]; p.Masked || p.Size > 0 {
			return fmt.Sprintf("parameter %d is masked or not all recorded", i+1)
		}
	}
	return ""
}

// compare says what differs, or a remark about what does not. Of errors only their codes are told.
func (r *run) compare(ended *access.Ended, got *answer, refused string) (differs, remark string) {
	switch {
	case ended.Outcome == access.OutcomeFailed && refused == "":
		return "it failed then (" + ended.Code + "), and does not now", ""
	case ended.Outcome == access.OutcomeDone && refused != "":
		return "it worked then, and now there is an error: " + refused, ""
	case ended.Code != refused:
		return fmt.Sprintf("the error was %s, and is %s", ended.Code, refused), ""
	case refused != "":
		return "", ""
	case ended.Tag != "" && ended.Tag != got.tag:
		return fmt.Sprintf("the answer was %q, and is %q", ended.Tag, got.tag), ""
	case r.cut || len(r.rows) == 0:
		return "", ""
	}
	return r.values(got)
}

// values compares rows where they are recorded whole and in text. Masked columns say nothing.
func (r *run) values(got *answer) (differs, remark string) {
	shown, left := r.comparable(got)
	if len(shown) == 0 || len(r.rows) != len(got.rows) {
		return "", left // the tag has compared their number
	}
	then, now := make([]string, len(r.rows)), make([]string, len(got.rows))
	for i, row := range r.rows {
		for _, c := range shown {
			then[i] += text(row[c].Null, row[c].Text)
		}
	}
	for i, row := range got.rows {
		for _, c := range shown {
			now[i] += text(row[c] == nil, string(row[c]))
		}
	}
	if slices.Equal(then, now) {
		return "", left
	}
	slices.Sort(then)
	slices.Sort(now)
	if slices.Equal(then, now) {
		return "", join("the same rows in another order", left)
	}
	missing := 0
	for at, row := 0, 0; row < len(then); row++ {
		for at < len(now) && now[at] < then[row] {
			at++
		}
		if at < len(now) && now[at] == then[row] {
			at++
		} else {
			missing++
		}
	}
	return fmt.Sprintf("%d of %d rows have other values", missing, len(then)), ""
}

// comparable are the columns whose values can be compared, and a remark where others cannot.
func (r *run) comparable(got *answer) (shown []int, left string) {
	for c := range got.columns {
		ok := c >= len(r.columns) || r.columns[c].Masked == ""
		for _, row := range r.rows {
			ok = ok && c < len(row) && !row[c].Masked && row[c].Size == 0 && len(row[c].Binary) == 0
		}
		if ok {
			shown = append(shown, c)
		} else {
			left = "masked, binary and long values were not compared"
		}
	}
	return shown, left
}

// text is a value so that no two rows of other values look alike.
func text(null bool, value string) string {
	if null {
		return "-;"
	}
	return fmt.Sprintf("%d:%s;", len(value), value)
}

func join(remarks ...string) string {
	return strings.Join(slices.DeleteFunc(remarks, func(s string) bool { return s == "" }), "; ")
}
