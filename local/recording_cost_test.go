package local_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/ship"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// What recording costs: the same proxy with the recorder of a sidecar (journal, segments, shipping to somebody who takes
// everything), and with none, which only a test can have. They take turns; the process does nothing else, so that
// its processor time is theirs. Figures need a machine that is quiet:
//
//	TIDEWAITER_COST=5 go test ./local -run TestWhatRecordingCosts -v -timeout 30m
//
// The number is how many rounds.

type unrecorded struct{}

func (unrecorded) Open(access.Opened) (session.Record, error) { return unrecorded{}, nil }
func (unrecorded) Append(access.Event) error                  { return nil }
func (unrecorded) Location() string                           { return "" }
func (unrecorded) Close() error                               { return nil }

// taker takes every chunk.
type taker struct{ sizes map[string]uint64 }

func (k taker) SendRecording(_ context.Context, c *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error) {
	name := fmt.Sprint(c.GetId(), c.GetSegment())
	k.sizes[name] += uint64(len(c.GetData()))
	ack := &sidecarv1alpha1.RecordingAck{Id: c.GetId(), Segment: c.GetSegment(), Size: k.sizes[name], Complete: c.GetComplete()}
	if c.GetComplete() {
		delete(k.sizes, name)
	}
	return ack, nil
}

const costSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers SELECT i, 'name ' || i, '078-05-' || i FROM generate_series(1, 10000) i;`

func TestWhatRecordingCosts(t *testing.T) {
	rounds := 0
	if _, err := fmt.Sscan(os.Getenv("TIDEWAITER_COST"), &rounds); err != nil || rounds < 1 {
		t.Skip("TIDEWAITER_COST is not set to the number of rounds")
	}
	kinds := []string{"none", "Async", "Statement"}
	targets := map[string]local.Endpoint{}
	database := postgrestest.Shared(t).NewDatabase(t, costSQL)
	for _, kind := range kinds {
		targets[kind] = recordedBy(t, database, kind)
	}
	script := filepath.Join(t.TempDir(), "read.sql")
	if err := os.WriteFile(script, []byte("\\set id random(1, 10000)\nSELECT id, name, ssn FROM customers WHERE id = :id;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, w := range [][]string{{"--protocol=simple", "--client=1"}, {"--protocol=simple", "--client=8"}, {"--protocol=prepared", "--client=1"}, {"--protocol=prepared", "--client=8"}} {
		tps, cpu := map[string][]float64{}, map[string][]float64{}
		for range rounds {
			for _, kind := range kinds {
				a, b := load(t, targets[kind], script, w)
				tps[kind], cpu[kind] = append(tps[kind], a), append(cpu[kind], b)
			}
		}
		for _, kind := range kinds {
			t.Logf("%-34s %-10s %7.0f tps (%.2f of none)   %6.1f us of CPU for each (%+.1f)", strings.Join(w, " "), kind,
				middle(tps[kind]), middle(tps[kind])/middle(tps["none"]), middle(cpu[kind]), middle(cpu[kind])-middle(cpu["none"]))
		}
	}
}

func middle(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// recordedBy starts a proxy that records with a durability, or not at all, and returns where it is.
func recordedBy(t *testing.T, database, kind string) local.Endpoint {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	o := local.Options{Set: shop(t, database, "statements: [Select, BulkSelect, Session]", `statements: ["*", BulkSelect]`, "listen: {port: 5432}", fmt.Sprintf("listen: {port: %d}", port))}
	o.Subject, o.RecordDir = agent, t.TempDir()
	o = o.Recording(func(dataSource string, _ record.Durability) (session.Recorder, error) {
		if kind == "none" {
			return unrecorded{}, nil
		}
		spool, err := ship.New(ship.Options{Dir: t.TempDir()})
		if err != nil {
			return nil, err
		}
		if err := spool.Attested(nil); err != nil { // no operator: sealing begins at once
			return nil, err
		}
		ctx, stop := context.WithCancel(context.Background())
		var shipping sync.WaitGroup
		t.Cleanup(func() { stop(); shipping.Wait() }) // before the folder is removed
		shipping.Go(func() { spool.Ship(ctx, taker{map[string]uint64{}}) })
		return spool.Recorder(dataSource, record.ParseDurability(kind), record.Deny)
	})
	p, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	endpoint, err := p.Endpoint("data/orders")
	if err != nil {
		t.Fatal(err)
	}
	return endpoint
}

// load runs pgbench for a warm-up of 10 s and then 10 s more that count.
func load(t *testing.T, target local.Endpoint, script string, how []string) (tps, cpu float64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(postgrestest.Shared(t).BinDir, "pgbench"), append(how, "--no-vacuum", "--jobs=1", "--time=20", "--progress=1", "--file="+script)...)
	cmd.Env = append(os.Environ(), target.Env()...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var done, from, to float64
	var before, after time.Duration
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var at, rate float64
		if _, err := fmt.Sscanf(lines.Text(), "progress: %f s, %f tps", &at, &rate); err != nil {
			continue
		}
		switch {
		case at < 9.5:
		case from == 0:
			from, to, before = at, at, spent(t)
		default:
			done += rate * (at - to)
			to, after = at, spent(t)
		}
	}
	if err := cmd.Wait(); err != nil || done == 0 {
		t.Fatalf("pgbench: %v, %.0f transactions", err, done)
	}
	return done / (to - from), float64((after - before).Microseconds()) / done
}

// spent is the process's own processor time.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
