package table

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes one printable line of a text that others wrote: line breaks become spaces, and whatever a terminal would
// obey instead of show is spelled out. Statements are written by the very programs that are guarded: one could otherwise
// move the cursor and let an approver read something else than is approved.
func Line(text string) string {
	return clean(text, func(b *strings.Builder, r rune) bool {
		if r != '\n' && r != '\t' && r != '\r' {
			return false
		}
		b.WriteByte(' ')
		return true
	})
}

// Block is as [Line], but keeps line breaks; a tab is four spaces.
func Block(text string) string {
	return clean(text, func(b *strings.Builder, r rune) bool {
		switch r {
		case '\n':
			b.WriteByte('\n')
		case '\t':
			b.WriteString("    ")
		default:
			return false
		}
		return true
	})
}

func clean(text string, own func(*strings.Builder, rune) bool) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case own(&b, r):
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == ' ' || unicode.IsPrint(r) && !blank(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default: // also what reverses the direction of text, or takes no room
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// blank are letters of Unicode that show as nothing: Hangul fillers and the blank Braille pattern.
func blank(r rune) bool {
	return r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r == 0x2800
}

// Clip cuts a line to a width in characters; the last of them is … where something was cut.
func Clip(line string, width int) string {
	if width <= 0 || Width(line) <= width {
		return line
	}
	var b strings.Builder
	left := width - 1
	for _, r := range line {
		w := runeWidth(r)
		if w > left {
			break
		}
		left -= w
		b.WriteRune(r)
	}
	return b.String() + "…"
}

// Width is how many columns of a terminal a line takes.
func Width(line string) int {
	n := 0
	for _, r := range line {
		n += runeWidth(r)
	}
	return n
}

// runeWidth knows what is twice as wide (East Asian Wide, Unicode Annex 11, by its large blocks) and what has no width.
func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115F, r >= 0x2E80 && r <= 0xA4CF, r >= 0xAC00 && r <= 0xD7A3, r >= 0xF900 && r <= 0xFAFF,
		r >= 0xFE30 && r <= 0xFE6F, r >= 0xFF00 && r <= 0xFF60, r >= 0xFFE0 && r <= 0xFFE6, r >= 0x1F300 && r <= 0x1FAFF, r >= 0x20000 && r <= 0x3FFFD:
		return 2
	}
	return 1
}
