package shop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// packages are what Debian and Ubuntu call PostgreSQL's server and psql.
var packages = []string{"postgresql-15", "postgresql-client-15"}

// EnsurePostgres installs PostgreSQL where it is missing and that can be done, and says so.
func EnsurePostgres(ctx context.Context, p *paper.Paper) error {
	if installed() {
		return nil
	}
	install := append([]string{"apt-get", "install", "-y"}, packages...)
	line := strings.Join(install, " ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("the demo needs PostgreSQL's server and psql; install them and run it again: sudo %s", line)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("the demo needs PostgreSQL's server and psql, and this system has no apt-get: install them its own way, with initdb and psql in PATH")
	}
	p.Note("PostgreSQL is not installed here. Running: apt-get update && " + line)
	for _, command := range [][]string{{"apt-get", "update", "-q"}, install} {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
		}
	}
	if !installed() {
		return fmt.Errorf("%s has run, and still initdb or psql is not to be found", line)
	}
	return nil
}

func installed() bool {
	if _, err := postgrestest.BinDir(); err != nil {
		return false
	}
	_, err := exec.LookPath("psql")
	return err == nil
}
