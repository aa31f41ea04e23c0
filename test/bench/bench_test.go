package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestOnlyWhatComesAfterTheWarmUpCounts(t *testing.T) {
	var m meter
	for _, line := range []string{
		"pgbench (15.1)",
		"progress: 1.0 s, 10.0 tps, lat 0.1 ms stddev 0.0, 0 failed",
		"progress: 2.0 s, 20.0 tps, lat 0.1 ms stddev 0.0, 0 failed",
		"progress: 3.0 s, 300.0 tps, lat 0.1 ms stddev 0.0, 0 failed",
		"progress: 4.0 s, 500.0 tps, lat 0.1 ms stddev 0.0, 0 failed",
	} {
		m.line([]byte(line), 2, 0)
	}
	got, err := m.figures()
	if err != nil || got.tps != 400 {
		t.Errorf("got %v, %v; want 400 tps: the seconds 3 and 4", got, err)
	}
	if !strings.Contains(m.other.String(), "pgbench (15.1)") {
		t.Errorf("%q lacks what is no report", m.other.String())
	}
}

func TestARunWithoutReportsIsAnErrorAndNoFigure(t *testing.T) {
	var m meter
	m.line([]byte("pgbench: error: connection refused"), 2, 0)
	if got, err := m.figures(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, %v; want pgbench's own words", got, err)
	}
}

func TestTheProcessorTimeOfAProcessGrowsWithItsWork(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; {
		now, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			return
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("still %s after 10 seconds of work", now)
		}
	}
}

func TestTheMedianRoundCounts(t *testing.T) {
	r, w := results{}, workload{"simple", 1}
	for _, tps := range []float64{900, 100, 500} {
		r.add(w, direct, figures{tps: tps})
	}
	if got := r.median(w, direct).tps; got != 500 {
		t.Errorf("got %.0f; want 500", got)
	}
}
