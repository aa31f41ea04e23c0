package replay

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// indent is that of what stands beneath a statement.
const indent = "      "

// tone is how a line or a part of it is said, where colors are asked for.
type tone string

const (
	plainly tone = ""
	strong  tone = "\x1b[1m"
	faint   tone = "\x1b[2m"
	good    tone = "\x1b[32m"
	warning tone = "\x1b[33m"
	alarm   tone = "\x1b[1;31m"
	reset        = "\x1b[0m"
)

// page is what is printed to. Its writer keeps the first error and gives it back
// when flushed.
type page struct {
	w     *bufio.Writer
	color bool
	blank bool // the last line was empty, or nothing has been printed
}

func (p *page) tint(t tone, s string) string {
	if !p.color || t == plainly || s == "" {
		return s
	}
	return string(t) + s + reset
}

func (p *page) line(t tone, format string, args ...any) {
	s := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	p.blank = s == ""
	fmt.Fprintln(p.w, p.tint(t, s))
}

// opened prints the heading. With a choice of statements nobody asked for it.
func (p *replayer) opened(t time.Time, o *access.Opened) {
	if !p.chosen.all() {
		return
	}
	id, hello := &o.Identity, &o.Hello
	p.field("Session", o.Session)
	who := id.Subject()
	if id.Pod != "" {
		who += ", pod " + id.Pod
	}
	if id.PodUID != "" {
		who += " (uid " + id.PodUID + ")"
	}
	p.field("Who", who)
	p.field("Labels", pairs(id.Labels))
	if id.Process != nil {
		p.field("Process", strings.TrimSpace(fmt.Sprintf("%s pid %d, uid %d", id.Process.Exe, id.Process.PID, id.Process.UID)))
	}
	p.field("Data", o.DataSource+" ("+o.Protocol+")")
	claims := pairs(map[string]string{"user": hello.User, "database": hello.Database, "application": hello.Application, "protocol": hello.Protocol})
	if settings := pairs(hello.Settings); settings != "" {
		claims += "; settings " + settings
	}
	p.field("Claims", claims+"  (the client's own words)")
	p.field("Client", clientAddress(o.Client))
	p.day = t.UTC().Format(time.DateOnly)
	p.field("Opened", p.day+" "+clock(t)+"  (times are UTC)")
	p.line(plainly, "")
}

func (p *replayer) field(name, value string) {
	if value = visible(value, maxNote); value != "" {
		p.line(plainly, "%s%s", p.tint(faint, fmt.Sprintf("%-9s", name)), value)
	}
}

// pairs lists what is set, in order: "app=report, team=shop".
func pairs(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != "" {
			parts = append(parts, k+"="+m[k])
		}
	}
	return strings.Join(parts, ", ")
}

func (p *replayer) printClosed(t time.Time, c *access.Closed) {
	if !p.chosen.all() {
		return
	}
	if !p.blank {
		p.line(plainly, "")
	}
	p.field("Closed", t.UTC().Format(time.DateOnly)+" "+clock(t)+"  "+c.Reason)
}

// fixed is how many columns the number, the time and the gaps of a statement's
// line take, and usual how many the verdict and the result usually take.
const (
	fixed = 22
	usual = 55
)

// printStatement prints one statement: a line, and beneath it what that could not
// say.
func (p *replayer) printStatement(s *statement) {
	verdict, loud := s.verdict()
	if s.prepare {
		verdict = "prepare " + verdict
	}
	result := strings.Join(s.result(), "   ")
	if result != "" {
		verdict, result = pad(verdict, 19), "   "+result
	}
	text, cut := "", 0
	if !p.Full {
		room := p.Width - fixed - min(usual, utf8.RuneCountInString(verdict+result))
		if text, cut = s.text, utf8.RuneCountInString(s.text)-room; cut > 0 {
			text, cut = firstRunes(text, room-1)+"…", cut+1
		}
		text = pad(text, p.Width-fixed-usual) + "  "
	}
	p.line(plainly, "%s  %s  %s%s%s", p.tint(strong, fmt.Sprintf("%4s", count(s.number))), p.tint(faint, clock(s.time)),
		text, p.tint(loud, verdict), result)
	if p.Full {
		p.beneath(plainly, "│ "+strings.ReplaceAll(s.text, "\n", "\n│ "))
	}
	if hidden := s.hidden + max(0, cut); hidden > 0 {
		p.beneath(faint, fmt.Sprintf("… %s; it is %s", plural(int64(hidden), "more character"), s.facts))
	}
	p.printDetails(s)
}

func (p *replayer) printDetails(s *statement) {
	if s.parameters != "" {
		p.beneath(plainly, s.parameters)
	}
	if s.decision.Reason != "" && (s.decision.Observed || s.decision.Effect != access.Allow.String()) {
		p.beneath(plainly, s.decision.Reason)
	}
	for _, a := range s.asked {
		p.beneath(plainly, a)
	}
	if s.flags != "" {
		p.beneath(warning, "flagged: "+s.flags)
	}
	for _, a := range s.alarms {
		p.beneath(alarm, "ALARM: "+a)
	}
	p.printTables(&s.tables)
	if line := s.digests.line(); line != "" {
		p.beneath(faint, line)
	}
	if problem := s.problem(); problem != "" {
		p.beneath(warning, problem)
	}
}

func (p *replayer) beneath(t tone, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		p.line(t, "%s%s", indent, line)
	}
}

// clock is a time of the day in UTC.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// clientAddress is a client's address as a person reads it: one on a unix socket
// mostly has no name, which the system writes as "@".
func clientAddress(address string) string {
	if address == "@" {
		return "on a unix socket"
	}
	return address
}
