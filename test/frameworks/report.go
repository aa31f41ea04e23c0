package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// outcome is what playing a framework showed.
type outcome struct {
	framework framework
	steps     []comparison
	leaks     []string
	err       error // why it could not be played, or not to the end
}

// missingError says that something is not installed.
type missingError struct{ cause error }

func (e *missingError) Error() string { return "not installed: " + e.cause.Error() }
func (e *missingError) Unwrap() error { return e.cause }

func (o outcome) count(v verdict) int {
	n := 0
	for _, c := range o.steps {
		if c.verdict == v {
			n++
		}
	}
	return n
}

// good says whether everything is as it should be.
func (o outcome) good() bool {
	return o.err == nil && len(o.leaks) == 0 && len(o.steps) > 0 && o.count(refused)+o.count(different) == 0
}

// printOutcome prints what is wrong with a framework, and with details every step.
func printOutcome(out io.Writer, o outcome, details bool) {
	fmt.Fprintf(out, "%s (%s): %d steps\n", o.framework.name, o.framework.what, len(o.steps))
	if o.err != nil {
		fmt.Fprintf(out, "  NOT PLAYED TO THE END: %v\n", o.err)
	}
	for _, leak := range o.leaks {
		fmt.Fprintf(out, "  LEAK: %s\n", leak)
	}
	for _, c := range o.steps {
		bad := c.verdict == refused || c.verdict == different
		if bad || details {
			fmt.Fprintf(out, "  %-9s %s\n", c.verdict, c.name)
		}
		if bad {
			fmt.Fprintf(out, "            %s\n", strings.ReplaceAll(c.why, "\n", "\n            "))
		}
		if details {
			fmt.Fprintf(out, "            direct:  %s%s\n            through: %s%s\n", c.direct.Answer, c.direct.Error, c.through.Answer, c.through.Error)
		}
	}
}

// printTable prints one line for each framework.
func printTable(out io.Writer, all []outcome) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "framework\tsteps\tsame\tmasked\trefused by design\trefused\tdifferent\tleaks\t\n")
	var total outcome
	for _, o := range all {
		printRow(table, o.framework.name, o)
		total.steps, total.leaks = append(total.steps, o.steps...), append(total.leaks, o.leaks...)
	}
	printRow(table, "all", total)
	return table.Flush()
}

func printRow(table io.Writer, name string, o outcome) {
	var missing *missingError
	if errors.As(o.err, &missing) {
		fmt.Fprintf(table, "%s\tNOT PLAYED: %v\t\n", name, missing)
		return
	}
	fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, len(o.steps), o.count(same), o.count(masked), o.count(byDesign), o.count(refused),
		o.count(different), len(o.leaks))
}

// faults is an error that names the frameworks where something is wrong.
func faults(all []outcome) error {
	var bad []string
	for _, o := range all {
		if !o.good() {
			bad = append(bad, o.framework.name)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("not as it should be: %s", strings.Join(bad, ", "))
}
