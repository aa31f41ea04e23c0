package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// workload is a way of running pgbench's SELECTs.
type workload struct {
	protocol string // pgbench's -M
	clients  int
}

func (w workload) String() string { return fmt.Sprintf("%s c=%d", w.protocol, w.clients) }

func workloads() []workload {
	return []workload{{"simple", 1}, {"simple", 8}, {"prepared", 1}, {"prepared", 8}}
}

// figures are what one run gave.
type figures struct {
	tps float64
	// cpu is the contestant's own processor time per transaction; 0 for the server, which has many processes.
	cpu time.Duration
}

// run runs pgbench over the warm-up and the measured time in one go, so that connections and backends are warm, and counts what it
// reports each second after the warm-up.
func (g *ground) run(ctx context.Context, o options, w workload, c contestant) (figures, error) {
	seconds := int((o.warmUp + o.measure).Seconds())
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(g.server.BinDir, "pgbench"), "--select-only", "--no-vacuum", "--protocol="+w.protocol,
		"--client="+strconv.Itoa(w.clients), "--jobs=1", "--time="+strconv.Itoa(seconds), "--progress=1")
	cmd.Env = append(os.Environ(), "PGHOST="+c.host, "PGPORT="+c.port, "PGUSER="+role, "PGDATABASE="+databaseName, "PGSSLMODE=disable")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return figures{}, err
	}
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	var m meter
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		m.line(lines.Bytes(), o.warmUp.Seconds(), c.pid)
	}
	if err := cmd.Wait(); err != nil {
		return figures{}, fmt.Errorf("pgbench: %w\n%s", err, m.other.Bytes())
	}
	return m.figures()
}

// meter reads pgbench's reports: "progress: 3.0 s, 10234.5 tps, lat 0.097 ms stddev 0.010, 0 failed".
type meter struct {
	other        bytes.Buffer // what is no report, for error messages
	transactions float64
	from, to     float64 // seconds into the run
	cpuAt, cpu   time.Duration
	err          error
}

func (m *meter) line(line []byte, warmUp float64, pid int) {
	var at, tps float64
	if _, err := fmt.Sscanf(string(line), "progress: %f s, %f tps", &at, &tps); err != nil {
		m.other.Write(append(line, '\n'))
		return
	}
	now, err := cpuTime(pid)
	m.err = errors.Join(m.err, err)
	if at < warmUp-0.5 { // reports come at full seconds, or a little later
		return
	}
	if m.from == 0 {
		m.from, m.to, m.cpuAt = at, at, now
		return
	}
	m.transactions += tps * (at - m.to)
	m.to, m.cpu = at, now-m.cpuAt
}

func (m *meter) figures() (figures, error) {
	if m.err != nil {
		return figures{}, m.err
	}
	if m.transactions == 0 {
		return figures{}, fmt.Errorf("pgbench reported no transactions after the warm-up:\n%s", m.other.Bytes())
	}
	return figures{
		tps: m.transactions / (m.to - m.from),
		cpu: time.Duration(float64(m.cpu) / m.transactions),
	}, nil
}

// clockTick is the unit of times in /proc (proc(5)): USER_HZ is 100 on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is the time that a process, with its threads and the children it has waited for, has spent on processors.
func cpuTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, cstime = 11, 14 // of the fields after the command's name: utime, stime, cutime, cstime
	if len(fields) <= cstime {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	ticks := int64(0)
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}
