package main

import (
	"slices"
	"testing"

	"github.com/tidewaiter/tidewaiter/local"
)

func TestTheSummaryIsOneLineWithItsNumbersRight(t *testing.T) {
	const path = "/home/ada/.local/state/tidewaiter/a.twr"
	for _, c := range []struct {
		summary local.Summary
		want    string
	}{
		{local.Summary{}, "0 statements, 0 denied, 0 values masked · no session, so no recording"},
		{local.Summary{Sessions: 1, Statements: 1, Masked: 1, Recordings: []string{path}}, "1 statement, 0 denied, 1 value masked · recording: ~/.local/state/tidewaiter/a.twr"},
		{
			local.Summary{Sessions: 1204, Statements: 1234567, Denied: 1000, Masked: 999, Held: 2, Recordings: []string{path, path}},
			"1,234,567 statements, 1,000 denied, 999 values masked, 2 held · 1,204 recordings: ~/.local/state/tidewaiter",
		},
	} {
		if got := summaryLine(c.summary, "/home/ada"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestAPathOutsideOfHomeIsNotShortened(t *testing.T) {
	for _, c := range []struct{ path, home, want string }{
		{"/var/lib/a", "/home/ada", "/var/lib/a"},
		{"/home/adam/a", "/home/ada", "/home/adam/a"},
		{"/a", "/", "/a"},
		{"/a", "", "/a"},
	} {
		if got := shorten(c.path, c.home); got != c.want {
			t.Errorf("%s with home %s: %s", c.path, c.home, got)
		}
	}
}

func TestAConnectionStringIsQuotedForTheShell(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"host=127.0.0.1 dbname=shop", `"host=127.0.0.1 dbname=shop"`},
		{"dbname='a b'", `"dbname='a b'"`},
		{"dbname=a$b", `'dbname=a$b'`},
		{"dbname='$(id)'", `'dbname='\''$(id)'\'''`},
	} {
		if got := shellQuote(c.text); got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}

func TestTheChildsEnvironmentHasTheProxyAndNoWayPastIt(t *testing.T) {
	ours := []string{
		"PATH=/bin", "PGHOST=db.example.org", "PGHOSTADDR=192.0.2.1", "PGPASSWORD=secret", "PGPASSFILE=/secret", "PGSERVICE=direct",
		"PGSSLMODE=verify-full", "PGSSLROOTCERT=/ca", "PGCHANNELBINDING=require", "PGAPPNAME=report", "DATABASE_URL=postgres://u:secret@db/x",
		"TIDEWAITER_USER=u", "TIDEWAITER_PASSWORD=secret",
	}
	got := childEnv(ours, []string{"PGHOST=127.0.0.1", "PGSSLMODE=disable", "DATABASE_URL=postgres://agent@127.0.0.1/x"})
	want := []string{"PATH=/bin", "PGAPPNAME=report", "PGHOST=127.0.0.1", "PGSSLMODE=disable", "DATABASE_URL=postgres://agent@127.0.0.1/x"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRecordingsGoWhereTheXDGSpecificationSays(t *testing.T) {
	for _, c := range []struct{ state, home, want string }{
		{"/var/state", "/home/ada", "/var/state/tidewaiter"},
		{"", "/home/ada", "/home/ada/.local/state/tidewaiter"},
		{"relative", "/home/ada", "/home/ada/.local/state/tidewaiter"},
		{"", "", ""},
	} {
		got, err := stateDir(func(name string) string {
			return map[string]string{"XDG_STATE_HOME": c.state, "HOME": c.home}[name]
		})
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("with XDG_STATE_HOME=%s HOME=%s: %q, %v", c.state, c.home, got, err)
		}
	}
}
