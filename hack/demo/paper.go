package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// paper is what the tour is printed on: with colors on a terminal, plain elsewhere.
type paper struct {
	w     io.Writer
	color bool
}

func newPaper(f *os.File) *paper {
	return &paper{w: f, color: term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""} // https://no-color.org
}

func (p *paper) tint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *paper) note(s string) { fmt.Fprintln(p.w, p.tint("2", s)) }

// heading prints a step's title, what to look at, and the command.
func (p *paper) heading(number int, title, about, shown string) {
	fmt.Fprintf(p.w, "\n%s\n", p.tint("1", fmt.Sprintf("%d. %s", number, title)))
	for line := range strings.Lines(about) {
		fmt.Fprintf(p.w, "   %s\n", strings.TrimSpace(line))
	}
	fmt.Fprintf(p.w, "\n%s\n", p.tint("36", "   $ "+strings.ReplaceAll(shown, "\n", "\n     ")))
}

// output prints what a command has printed.
func (p *paper) output(out []byte) {
	for line := range strings.Lines(string(out)) {
		fmt.Fprintf(p.w, "   %s\n", strings.TrimRight(line, " \n"))
	}
}

// verified prints what has been checked.
func (p *paper) verified(what string) {
	fmt.Fprintf(p.w, "   %s\n", p.tint("32", "✓ "+what))
}

func (p *paper) end(steps int, took time.Duration) {
	fmt.Fprintf(p.w, "\n%s\n", p.tint("1;32", fmt.Sprintf("All %d steps were as told, in %.1f seconds.", steps, took.Seconds())))
	p.note("The same for your own database: docs/local.md")
}
