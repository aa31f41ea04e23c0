package table

import (
	"fmt"
	"io"
	"strings"
)

// Live draws lines in place: each time over what it has drawn before. What it is given must be no wider than the
// terminal, since lines that wrap cannot be counted.
type Live struct {
	w     io.Writer
	drawn int
	// Height of the terminal in lines; more is not drawn, because the cursor cannot go back to what has scrolled away.
	Height int
}

// NewLive draws on a terminal of a height in lines, 0 for no bound.
func NewLive(w io.Writer, height int) *Live { return &Live{w: w, Height: height} }

// Draw replaces what is drawn. Where the lines do not fit, the last one says how many are left out.
func (l *Live) Draw(lines []string) error {
	if most := l.Height - 1; most > 1 && len(lines) > most {
		left := len(lines) - most + 1
		lines = append(lines[:most-1:most-1], fmt.Sprintf("… and %s more; make the window higher, or use -n", Number(int64(left))))
	}
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	l.drawn = len(lines)
	_, err := io.WriteString(l.w, b.String())
	return err
}
