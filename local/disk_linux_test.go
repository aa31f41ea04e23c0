package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// fill leaves no byte free in a folder's file system.
func fill(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Fatal(err)
	}
	return ballast
}

func TestWithTheRecorderDiskFullNothingReachesTheServerAndWithRoomItGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small filesystem cannot be mounted here (%v); tests with a failing recorder cover the rest", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, shopSQL+"; CREATE SEQUENCE reached")
	before := goleak.IgnoreCurrent()
	p, err := local.Start(t.Context(), local.Options{
		Set: shop(t, database), Subject: agent, RecordDir: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, p.Endpoints()[0].ConnectionString())
	if got := ask(conn, "select ssn from customers where id = 1"); got != "*****" {
		t.Fatalf("before: %s", got)
	}
	ballast := fill(t, dir)
	refused, answered := 0, 0
	for range 200 { // a block of the recording may still have room
		if got := ask(conn, "select 'reached' from nextval('reached') -- "+strings.Repeat("x", 1000)); got != "reached" {
			refused++
			if !strings.Contains(got, "could not be recorded") {
				t.Fatalf("with the disk full: %s", got)
			}
		} else if refused > 0 {
			t.Fatal("a statement was let through after one that could not be recorded")
		} else {
			answered++
		}
	}
	if got, want := ask(connect(t, server.DSN(database)), "select count from (select last_value - 1 + is_called::int as count from reached) r"), strconv.Itoa(answered); got != want {
		t.Errorf("the server ran %s statements, and %s were answered", got, want)
	}
	if refused == 0 {
		t.Fatal("the disk did not get full")
	}
	var pg *pgconn.PgError
	if _, err := pgconn.Connect(t.Context(), p.Endpoints()[0].ConnectionString()); !errors.As(err, &pg) || pg.Severity != "FATAL" {
		t.Errorf("a session that cannot be recorded: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if got := ask(connect(t, p.Endpoints()[0].ConnectionString()), "select ssn from customers where id = 1"); got != "*****" {
		t.Errorf("with room again: %s", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
