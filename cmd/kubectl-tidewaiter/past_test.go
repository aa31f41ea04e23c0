package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/recording/recordingtest"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// kept is a store with the golden recording of the format in it, as two pods' sessions.
func kept(t *testing.T) *recordingtest.Store {
	t.Helper()
	s := recordingtest.NewStore(t)
	events := recordingtest.Golden(t, "../../recording/testdata/session.twr")
	for _, name := range []store.Session{{Namespace: "shop", UID: "7d9f-1", ID: "one"}, {Namespace: "web", UID: "7d9f-2", ID: "two"}} {
		s.Add(t, name, events, 7)
	}
	return s
}

const year = "2026-01-01T00:00:00Z"

func TestSessionsSinceListsWhatIsKept(t *testing.T) {
	s := kept(t)
	for _, c := range []struct {
		flags []string
		ids   string
	}{
		{[]string{"-A"}, "one two"},
		{[]string{"-n", "web"}, "two"},
		{[]string{"-A", "--table", "public.customers"}, "one two"},
		{[]string{"-A", "--table", "public.nothing"}, ""},
		{[]string{"-A", "--denied", "--rule", "read"}, "one two"},
		{[]string{"-A", "--until", "2026-02-01T00:00:00Z"}, ""},
		{[]string{"-A", "--db-user", "nobody"}, ""},
	} {
		code, out, errOut := run(append([]string{"sessions", "--store", s.Dir, "--since", year, "-o", "json"}, c.flags...)...)
		var got struct{ Sessions []struct{ Session string } }
		if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil {
			t.Fatalf("%v: exit code %d, %v\n%s%s", c.flags, code, err, out, errOut)
		}
		var ids []string
		for _, one := range got.Sessions {
			ids = append(ids, one.Session)
		}
		if strings.Join(ids, " ") != c.ids {
			t.Errorf("%v: %v, want %s", c.flags, ids, c.ids)
		}
	}
	_, out, _ := run("sessions", "--store", s.Dir, "--since", year, "-A", "-o", "wide")
	golden(t, "past-wide.txt", out)
}

func TestAKeptSessionIsReplayedByItsName(t *testing.T) {
	s := kept(t)
	_, want, _ := run("replay", "../../recording/testdata/session.twr")
	for _, args := range [][]string{{"one", "--store", s.Dir}, {filepath.Join(s.Dir, "recordings/shop/7d9f-1/one")}, {"two", "-n", "web", "--store", s.Dir, "--follow"}} {
		code, out, errOut := run(append([]string{"replay"}, args...)...)
		// The last line is of the chain, and says of segments also how they are signed.
		cut := func(s string) string { return s[:strings.LastIndex(strings.TrimSpace(s), "\n")] }
		if code != 0 || cut(out) != cut(want) || !strings.Contains(out, "chain ok") || !strings.HasSuffix(out, want[len(want)-65:]) {
			t.Errorf("%v: exit code %d, %s\n%s\nwant\n%s", args, code, errOut, out, want)
		}
	}
	if code, _, errOut := run("replay", "two", "-n", "shop", "--store", s.Dir); code != 1 || !strings.Contains(errOut, "there is no session two in the store") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestAnExportEndsWhereARecordingIsBroken(t *testing.T) {
	s := kept(t)
	file := filepath.Join(t.TempDir(), "out.jsonl")
	if code, out, errOut := run("export", "-A", "--store", s.Dir, "--since", year, "-o", file); code != 0 || out != "" {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(s.Dir, "recordings/shop/7d9f-1/one/00000002.tws")
	raw, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(segment, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := run("export", "-A", "--store", s.Dir, "--since", year)
	if code != 2 || !strings.Contains(errOut, "one is not as it was written") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	all, left := strings.Count(string(whole), "\n"), strings.Count(out, "\n")
	if left <= all/2 || left >= all {
		t.Errorf("%d events of %d were written: those of the whole session and some of the broken one were to be", left, all)
	}
	for line := range strings.Lines(out) {
		if !strings.Contains(string(whole), line) {
			t.Errorf("something else than before was written: %s", line)
		}
	}
}

func TestFlagsThatDoNotGoTogetherAreRefused(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"sessions --table x", "--table goes with --since"},
		{"sessions --since yesterday --store /x", "--since \"yesterday\": write a span"},
		{"export", "name files, or say --since 24h"},
		{"export x.twr --denied", "--denied goes with --since"},
		{"export x.twr --format csv", "--format csv: it is ocsf"},
		{"replay x.twr --speed -1", "--speed -1"},
		{"replay x.twr --format html --follow", "--follow go with"},
		{"replay x.twr y.twr --format csv", "of one session"},
		{"export x.twr --otlp collector", "is no URL of a collector"},
	} {
		if code, out, errOut := run(strings.Fields(c.args)...); code != 1 || out != "" || !strings.Contains(errOut, c.says) {
			t.Errorf("%s: exit code %d, %s%s", c.args, code, out, errOut)
		}
	}
}
