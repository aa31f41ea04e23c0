package replay

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// JSON writes one event on each line, with its sequence number in the recording. Statements chooses as Options.Statements does;
// with a choice the session's own events are left out. Control characters are escaped.
func JSON(w io.Writer, r Recording, statements string) (recording.Report, error) {
	chosen, err := parseNumbers(statements)
	if err != nil {
		return recording.Report{}, err
	}
	for rec, err := range r.Events() {
		if err != nil {
			return r.Report(), brokenIsNoError(err)
		}
		if !chosen.all() && !chosen.has(rec.Event.Statement) {
			continue
		}
		line, err := json.Marshal(struct {
			Seq uint64 `json:"seq"`
			access.Event
		}{rec.Seq, rec.Event})
		if err == nil {
			_, err = w.Write(append(escaped(line), '\n'))
		}
		if err != nil {
			return r.Report(), err
		}
	}
	return r.Report(), nil
}

// escaped writes what some terminals obey, DEL and the C1 controls, as JSON escapes: encoding/json leaves them.
func escaped(line []byte) []byte {
	return []byte(controls.Replace(string(line)))
}

var controls = func() *strings.Replacer {
	pairs := []string{"\x7f", `\u007f`}
	for r := rune(0x80); r < 0xa0; r++ {
		pairs = append(pairs, string(r), fmt.Sprintf(`\u%04x`, r))
	}
	return strings.NewReplacer(pairs...)
}()

// csvColumns are the columns of CSV, which docs/recordings.md explains.
var csvColumns = []string{
	"session", "statement", "time", "phase", "text", "parameters", "kinds", "resources", "tags", "effect", "policy", "rule", "reason", "observed",
	"request", "answer", "answered_by", "outcome", "code", "server_tag", "message", "rows", "bytes", "masked", "duration_ms", "flags", "alarms",
}

// CSV writes one statement on each line, in the order in which they ended, beneath a heading.
func CSV(w io.Writer, r Recording, statements string) (recording.Report, error) {
	chosen, err := parseNumbers(statements)
	if err != nil {
		return recording.Report{}, err
	}
	out := csv.NewWriter(w)
	err = out.Write(csvColumns)
	session := ""
	about := func(e *access.Event) {
		if e.Opened != nil {
			session = e.Opened.Session
		}
	}
	for s, e := range gathered(r, 0, about) {
		if e != nil {
			err = errors.Join(err, brokenIsNoError(e))
			break
		}
		if chosen.has(s.Number) {
			err = errors.Join(err, out.Write(s.csv(session)))
		}
		if err != nil {
			break
		}
	}
	out.Flush()
	return r.Report(), errors.Join(err, out.Error())
}

func (s *Statement) csv(session string) []string {
	d, end, answer, request := &s.Decided, access.Ended{}, access.Answered{}, ""
	if s.Ended != nil {
		end = *s.Ended
	}
	if s.Answered != nil {
		answer, request = *s.Answered, s.Answered.Request
	} else if s.Held != nil {
		request = s.Held.Request
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	list := func(l []string) string { return strings.Join(l, "; ") }
	line := []string{
		session, number(s.Number), s.First.Time.UTC().Format(time.RFC3339Nano), string(d.Phase), d.Text, parameters(d.Parameters), list(d.Kinds), list(d.Resources),
		list(d.Tags), d.Effect, d.Policy, d.Rule, d.Reason, strconv.FormatBool(d.Observed), request, string(answer.Outcome), list(answer.By),
		string(end.Outcome), end.Code, end.Tag, end.Message, number(end.Rows), number(end.Bytes), number(end.Masked),
		strconv.FormatFloat(float64(end.Duration)/1e6, 'f', 3, 64), list(append(append([]string(nil), d.Flags...), end.Flags...)), list(s.Alarms),
	}
	for i := range line {
		line[i] = harmless(line[i])
	}
	return line
}

// harmless makes a text visible, and keeps a spreadsheet from taking it for a formula.
func harmless(s string) string {
	s, hidden := block(s, maxText)
	if hidden > 0 {
		s += fmt.Sprintf(" [… %d more characters]", hidden)
	}
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
