// Command kubectl-tidewaiter is Tidewaiter's plugin for kubectl, and runs by itself just as well: `kubectl tidewaiter requests`,
// `approve`, `status`, `doctor`, and without a cluster `local`, `explain`, `replay`. See docs/kubectl.md and docs/local.md.
//
// It is wiring: flags become options of packages that do the work, and their results become lines and exit codes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	hideMemory()
	os.Exit(execute(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// streams are what a command reads from and writes to.
type streams struct {
	in       *os.File
	out, err io.Writer
}

// execute runs a command line and returns the exit code: 0, 1 for an error, or what the command's help says.
func execute(args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	code := exitError{code: 1, err: err}
	errors.As(err, &code)
	if code.err != nil {
		report(s.err, code.err)
	}
	return code.code
}

// report writes an error. Most are one line; wrong manifests give one for each problem.
func report(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "error: %s\n", strings.TrimSpace(line))
	}
}

// exitError ends the command with a code of its own. A nil err has nothing to say.
type exitError struct {
	code int
	err  error
}

// Error returns the error's text.
func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e exitError) Unwrap() error { return e.err }
