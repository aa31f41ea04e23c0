package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// The contestants that the others are compared with, and the one that matters.
const (
	direct     = "direct"
	pgbouncer  = "pgbouncer"
	tidewaiter = "tidewaiter"
)

// budget is the share of pgbouncer's rate that Tidewaiter is meant to reach in the end.
const budget = 1.05

// results are the figures of all rounds, by workload and contestant.
type results map[workload]map[string][]figures

func (r results) add(w workload, name string, f figures) {
	if r[w] == nil {
		r[w] = map[string][]figures{}
	}
	r[w][name] = append(r[w][name], f)
}

// median is the figures of the round with the middle rate.
func (r results) median(w workload, name string) figures {
	rounds := slices.SortedFunc(slices.Values(r[w][name]), func(a, b figures) int {
		switch {
		case a.tps < b.tps:
			return -1
		case a.tps > b.tps:
			return 1
		}
		return 0
	})
	return rounds[len(rounds)/2]
}

// write prints a line per workload and contestant, and how Tidewaiter stands to its budget.
func (r results) write(out io.Writer, o options, contestants []contestant) error {
	if _, err := fmt.Fprintf(out, "pgbench -S, scale %d; median of %d rounds of %s after %s of warm-up; Tidewaiter records (%s) and masks\n\n",
		scale, o.rounds, o.measure, o.warmUp, o.durability); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "workload\tthrough\ttps\tof direct\tof pgbouncer\tCPU/transaction\t") // Flush returns the error
	for _, w := range workloads() {
		base, bouncer := r.median(w, direct).tps, r.median(w, pgbouncer).tps
		for _, c := range contestants {
			f := r.median(w, c.name)
			cpu := "-"
			if c.pid != 0 {
				cpu = f.cpu.Round(100 * time.Nanosecond).String()
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%.0f\t%.2f\t%.2f\t%s\t\n", w, c.name, f.tps, f.tps/base, f.tps/bouncer, cpu)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, w := range workloads() {
		ratio := r.median(w, tidewaiter).tps / r.median(w, pgbouncer).tps
		verdict := "within the budget"
		if ratio < budget {
			verdict = "short of the budget"
		}
		if _, err := fmt.Fprintf(out, "%s: %.2f of pgbouncer, budget %.2f: %s\n", w, ratio, budget, verdict); err != nil {
			return err
		}
	}
	return nil
}
