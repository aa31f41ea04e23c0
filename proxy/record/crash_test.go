package record

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// crashDir names the environment variable that makes the test binary record into
// a folder until it is killed.
const crashDir = "TIDEWAITER_TEST_CRASH_DIR"

// recordUntilKilled says on standard output which statement has been taken.
func recordUntilKilled(dir string) {
	r, err := New(Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	f, err := r.Open(access.Opened{Session: "crash"})
	if err != nil {
		panic(err)
	}
	for n := int64(1); ; n++ {
		if err := f.Append(decided(n, strings.Repeat("x", int(n%500)))); err != nil {
			panic(err)
		}
		if _, err := fmt.Println(n); err != nil {
			os.Exit(1) // the parent is gone
		}
		if err := f.Append(rows(n, strings.Repeat("y", int(n%5000)))); err != nil {
			panic(err)
		}
	}
}

func TestAKilledProxyHasRecordedEveryStatementItLetThrough(t *testing.T) {
	for _, statements := range []int{1, 7, 100} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range statements {
			lines.Scan()
		}
		if err := cmd.Process.Kill(); err != nil { // SIGKILL: it cannot tidy up
			t.Fatal(err)
		}
		acknowledged := number(t, lines.Text())
		for lines.Scan() {
			acknowledged = number(t, lines.Text())
		}
		_ = cmd.Wait()

		events, rep := read(t, filepath.Join(dir, "crash"+recording.Extension))
		if rep.State != recording.Unfinished {
			t.Errorf("the recording is %v, want it unfinished and not broken", rep)
		}
		var last int64
		for _, e := range events {
			if e.Decided != nil {
				if e.Statement != last+1 {
					t.Fatalf("statement %d follows %d", e.Statement, last)
				}
				last = e.Statement
			}
		}
		if last < acknowledged {
			t.Errorf("statement %d was let through, and %d is the last recorded", acknowledged, last)
		}
	}
}

func number(t *testing.T, line string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
