package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// appendVisible appends r so that a terminal shows it and does not obey it:
// control characters, escapes, characters that change the direction of writing
// or that show nothing become escapes such as \x1b and \u{202e}. marks counts the
// combining marks just before r; too many of them would be drawn over other lines.
func appendVisible(b []byte, r rune, marks int) []byte {
	switch {
	case r < 0x20 || r == 0x7f:
		return fmt.Appendf(b, `\x%02x`, r)
	case !unicode.IsPrint(r) || blank(r) || marks >= maxMarks && unicode.Is(unicode.M, r):
		return fmt.Appendf(b, `\u{%x}`, r)
	default:
		return utf8.AppendRune(b, r)
	}
}

// maxMarks is how many combining marks a letter may carry.
const maxMarks = 2

// blank reports whether r, though a letter, a mark or a symbol, shows nothing.
func blank(r rune) bool {
	switch r {
	case 0x034f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x2800, 0x3164, 0xffa0:
		return true
	default:
		return unicode.Is(unicode.Variation_Selector, r)
	}
}

// visible makes all of s visible on one line, cut to n characters.
func visible(s string, n int) string {
	text, hidden := show(s, n, nil)
	if hidden > 0 {
		text += "…"
	}
	return text
}

// oneLine makes a statement visible on one line: space of any kind and length is
// one space. Where the statement may hold a line comment, the end of a line is
// shown, for without it what follows would look like the comment. It returns also
// how many characters are not shown.
func oneLine(s string, n int) (string, int) {
	lineEnd := " "
	if strings.Contains(s, "--") {
		lineEnd = " ⏎ "
	}
	return show(strings.TrimSpace(s), n, func(space string) string {
		if strings.ContainsAny(space, "\n\r") {
			return lineEnd
		}
		return " "
	})
}

// block makes a statement visible as it is written, on several lines. Space that
// would only push the rest of it off the screen is counted instead.
func block(s string, n int) (string, int) {
	return show(strings.TrimSpace(s), n, func(space string) string {
		lines := strings.Count(space, "\n")
		switch {
		case lines > 3:
			return fmt.Sprintf("\n[%s empty lines]\n", count(int64(lines-1)))
		case len(space) > maxIndent:
			return fmt.Sprintf(" [%s characters of space] ", count(int64(len(space))))
		default:
			return indents.Replace(space)
		}
	})
}

// maxIndent is the longest run of space that a statement is shown with.
const maxIndent = 100

var indents = strings.NewReplacer("\t", "    ", "\r", "")

// show makes s visible, up to n characters of it, and returns how many are left.
// Runs of ASCII space go through spaces, where that is given.
func show(s string, n int, spaces func(string) string) (string, int) {
	b := make([]byte, 0, min(len(s), n)+16)
	shown, marks := 0, 0
	for i := 0; i < len(s); {
		if shown >= n {
			return string(b), utf8.RuneCountInString(s[i:])
		}
		if run := leadingSpace(s[i:]); run > 0 && spaces != nil {
			b = append(b, spaces(s[i:i+run])...)
			i, shown, marks = i+run, shown+1, 0
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = fmt.Appendf(b, `\x%02x`, s[i])
		} else {
			b = appendVisible(b, r, marks)
		}
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		i, shown = i+size, shown+1
	}
	return string(b), 0
}

func leadingSpace(s string) int {
	return len(s) - len(strings.TrimLeft(s, " \t\r\n"))
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// pad fills s with spaces to width characters.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// count writes n with separators: 1,204.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// size writes a number of bytes in a unit that a person grasps.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return plural(n, "byte")
	case n < 10<<20:
		return count(n>>10) + " KiB"
	default:
		return count(n>>20) + " MiB"
	}
}

// duration writes d with the digits that matter: 1.3 ms, 2.31 s, 4m10s.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return d.String()
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}
