package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// MaxPage is how many statements a page of HTML has: a browser has to hold all of it.
const MaxPage = 5000

// HTML writes one page that needs nothing else, and can be read without JavaScript: statements with their rows, at most rows of
// each and MaxPage statements, and a filter over them. Everything from the recording is escaped for where it stands
// (html/template), and made visible as on a terminal; the page's Content-Security-Policy allows no script and no style but its own two.
func HTML(w io.Writer, r Recording, statements string, rows int) (recording.Report, error) {
	chosen, err := parseNumbers(statements)
	if err != nil {
		return recording.Report{}, err
	}
	out := bufio.NewWriter(w)
	h := &htmlPage{out: out}
	h.write("begin", nil)
	shown, left := 0, int64(0)
	for s, e := range gathered(r, rows, func(e *access.Event) { h.write("about", lines(e)) }) {
		switch {
		case e != nil:
			h.err = errors.Join(h.err, brokenIsNoError(e))
		case !chosen.has(s.Number) || s.Prepared() && s.Decided.Effect == access.Allow.String() && len(s.Alarms) == 0:
		case shown == MaxPage:
			left++
		default:
			shown++
			h.write("statement", card(s))
		}
		if h.err != nil {
			break
		}
	}
	left = max(left, 0)
	state := r.Report()
	h.write("end", map[string]any{
		"Left": left, "Shown": shown, "Good": state.State == recording.Complete, "State": visible(state.String(), maxNote), "Head": state.Head.String(),
	})
	return state, errors.Join(h.err, out.Flush())
}

type htmlPage struct {
	out io.Writer
	err error
}

func (h *htmlPage) write(name string, data any) {
	if h.err == nil {
		h.err = pageTemplate.ExecuteTemplate(h.out, name, data)
	}
}

// lines are what is said of a session's beginning and end.
func lines(e *access.Event) [][2]string {
	if c := e.Closed; c != nil {
		return [][2]string{{"Closed", e.Time.UTC().Format("2006-01-02 15:04:05.000 UTC")}, {"Reason", visible(c.Reason, maxNote)}}
	}
	o := e.Opened
	claims := pairs(map[string]string{"user": o.Hello.User, "database": o.Hello.Database, "application": o.Hello.Application})
	return [][2]string{
		{"Session", visible(o.Session, maxNote)},
		{"Who", visible(strings.TrimRight(o.Identity.Subject()+", pod "+o.Identity.Pod, ", pod"), maxNote)},
		{"Data", visible(o.DataSource+" ("+o.Protocol+")", maxNote)},
		{"Claims", visible(claims, maxNote) + " (the client's own words)"},
		{"Opened", e.Time.UTC().Format("2006-01-02 15:04:05.000 UTC")},
	}
}

// htmlCard is a statement as the page shows it.
type htmlCard struct {
	Number                             int64
	Time, Text, Verdict, Class, Result string
	Facts, Tags, Parameters, Reason    string
	Hidden                             int
	Notes, Alarms                      []string
	Tables                             []htmlTable
	More                               int64
}

type htmlTable struct {
	Head []string
	Rows [][]string
}

// card says of a statement what printStatement says, with the same words.
func card(s *Statement) htmlCard {
	st := newStatement(&access.Event{Kind: access.EventDecided, Time: s.First.Time, Statement: s.Number, Decided: &s.Decided}, true)
	if s.Held != nil {
		st.held(s.Held)
	}
	if s.Answered != nil {
		st.answered(s.Answered)
	}
	if s.Ended != nil {
		st.end(s.Ended)
	}
	verdict, loud := st.verdict()
	c := htmlCard{
		Number: s.Number, Time: clock(s.First.Time), Text: st.text, Hidden: st.hidden, Verdict: verdict, Result: strings.Join(st.result(), ", "),
		Facts: st.facts, Tags: visible(strings.Join(firstFew(s.Decided.Tags, maxResources), ", "), maxNote), Parameters: st.parameters, Notes: st.asked, More: s.More,
	}
	c.Class = map[tone]string{good: "good", warning: "warning", alarm: "alarm"}[loud]
	if st.decision.Effect != access.Allow.String() {
		c.Reason = st.decision.Reason
	}
	for _, note := range []string{st.problem(), st.flags} {
		if note != "" {
			c.Notes = append(c.Notes, note)
		}
	}
	for _, a := range s.Alarms {
		c.Alarms = append(c.Alarms, visible(a, maxNote))
	}
	var t tables
	for i := range s.Results {
		t.add(&s.Results[i], 1<<20)
	}
	for _, one := range t.list {
		out := htmlTable{Rows: one.lines}
		if one.headed {
			out.Head, out.Rows = one.lines[0], one.lines[1:]
		}
		c.Tables = append(c.Tables, out)
	}
	if n := t.more; n > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d rows of further results are not shown", n))
	}
	return c
}
