package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// useColor reads a --color flag for what is written to w.
func useColor(when string, w io.Writer) (bool, error) {
	switch when {
	case "auto":
		return isTerminal(w) && os.Getenv("NO_COLOR") == "", nil // https://no-color.org
	case "always":
		return true, nil
	case "never":
		return false, nil
	default:
		return false, fmt.Errorf("--color %s: it is one of auto, always, never", when)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the columns of the terminal that w is, 0 where that is not known.
func terminalWidth(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	columns, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return 0
	}
	return columns
}
