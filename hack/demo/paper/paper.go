// Package paper is what the acts of the demo are printed on: titles, commands, what they print, and what has been verified.
//
// It must not know what is shown.
package paper

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Paper has colors on a terminal, and is plain elsewhere.
type Paper struct {
	w     io.Writer
	color bool
}

// New returns the paper that a file is.
func New(f *os.File) *Paper {
	return &Paper{w: f, color: term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""} // https://no-color.org
}

func (p *Paper) tint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Note prints a line that is not part of the tour.
func (p *Paper) Note(s string) { fmt.Fprintln(p.w, p.tint("2", s)) }

// Heading prints a step's title and what to look at.
func (p *Paper) Heading(number int, title, about string) {
	fmt.Fprintf(p.w, "\n%s\n", p.tint("1", fmt.Sprintf("%d. %s", number, title)))
	for line := range strings.Lines(about) {
		fmt.Fprintf(p.w, "   %s\n", strings.TrimSpace(line))
	}
}

// Command prints what a person would type, behind the prompt.
func (p *Paper) Command(prompt, typed string) {
	fmt.Fprintf(p.w, "\n%s\n", p.tint("36", "   "+prompt+" "+strings.ReplaceAll(typed, "\n", "\n     ")))
}

// width is where a line of output is folded, so that it stays behind its margin on most terminals.
const width = 120

// Output prints what a command has printed.
func (p *Paper) Output(out []byte) {
	for line := range strings.Lines(strings.TrimRight(string(out), " \n")) {
		line = strings.TrimRight(line, " \n")
		for utf8.RuneCountInString(line) > width && !strings.Contains(line, "   ") { // tables stay as they are
			end := strings.LastIndexByte(line[:width], ' ')
			if end <= 0 {
				break
			}
			fmt.Fprintf(p.w, "   %s\n", line[:end])
			line = line[end+1:]
		}
		fmt.Fprintln(p.w, strings.TrimRight("   "+line, " "))
	}
}

// Remark prints what is to be said about an output.
func (p *Paper) Remark(s string) { fmt.Fprintf(p.w, "   %s\n", p.tint("2", "("+s+")")) }

// Verified prints what has been checked.
func (p *Paper) Verified(what string) {
	fmt.Fprintf(p.w, "   %s\n", p.tint("32", "✓ "+what))
}

// End is the last word: how many steps were as told, and where to go from here.
func (p *Paper) End(steps int, took time.Duration, next string) {
	fmt.Fprintf(p.w, "\n%s\n", p.tint("1;32", fmt.Sprintf("All %d steps were as told, in %.1f seconds.", steps, took.Seconds())))
	p.Note(next)
}
