package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tidewaiter/tidewaiter/local"
)

// summaryLine is what local has to say at its end.
func summaryLine(s local.Summary, home string) string {
	parts := []string{count(s.Statements, "statement"), number(s.Denied) + " denied", count(s.Masked, "value") + " masked"}
	if s.Held > 0 {
		parts = append(parts, number(s.Held)+" held")
	}
	line := strings.Join(parts, ", ")
	switch {
	case s.Sessions == 0:
		return line + " · no session, so no recording"
	case s.Sessions == 1:
		return line + " · recording: " + shorten(s.Recordings[0], home)
	default:
		return fmt.Sprintf("%s · %s: %s", line, count(s.Sessions, "recording"), shorten(filepath.Dir(s.Recordings[0]), home))
	}
}

// count says how many there are of something: "1 statement", "1,204 statements".
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// number writes a number with separators.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// shorten writes a path below the home folder with ~.
func shorten(path, home string) string {
	if home != "" && home != "/" && strings.HasPrefix(path, home+"/") {
		return "~" + path[len(home):]
	}
	return path
}

// shellQuote quotes a text for a shell: with double quotes where nothing in it means anything to the shell then, for those
// are easier on the eye.
func shellQuote(s string) string {
	if strings.ContainsAny(s, "$`\\\"!\n") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return `"` + s + `"`
}
