package postgrestest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNotInstalled says that this machine has no PostgreSQL server, and how to get one.
var ErrNotInstalled = errors.New("PostgreSQL's server is not installed: looked for initdb and postgres in PATH, " +
	"/usr/lib/postgresql/*/bin and Homebrew; install it with: apt-get install -y postgresql-15 postgresql-contrib")

// BinDir finds the folder of PostgreSQL's server programs: the one in PATH if there is one, else the newest version among the
// usual places of Debian, Red Hat and Homebrew. The error is [ErrNotInstalled].
func BinDir() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if resolved, err := filepath.EvalSymlinks(initdb); err == nil && isServerDir(filepath.Dir(resolved)) {
			return filepath.Dir(resolved), nil
		}
	}
	best, bestVersion := "", -1
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
		for _, dir := range dirs {
			if version := majorVersion(dir); version > bestVersion && isServerDir(dir) {
				best, bestVersion = dir, version
			}
		}
	}
	if best == "" {
		return "", ErrNotInstalled
	}
	return best, nil
}

func isServerDir(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return false
		}
	}
	return true
}

// majorVersion reads 15 from /usr/lib/postgresql/15/bin, /usr/pgsql-15/bin or …/postgresql@15/bin; 0 if there is no number.
func majorVersion(binDir string) int {
	name := filepath.Base(filepath.Dir(binDir))
	if i := strings.LastIndexAny(name, "-@"); i >= 0 {
		name = name[i+1:]
	}
	version, _ := strconv.Atoi(name)
	return version
}
