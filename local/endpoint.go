package local

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
)

// Endpoint is where a data source is for clients.
type Endpoint struct {
	DataSource string // "namespace/name"
	Host       string // 127.0.0.1; the same port is open on ::1 where the machine has it
	Port       int
	Socket     string // folder of the unix socket, empty without one
	Database   string
	// User is what clients are told to call themselves. It is a claim like any other: it is recorded and has no meaning
	// for the database.
	User string

	inject []v1alpha1.EnvVar
}

func (s *Source) endpoint(port int, socket string, subject compile.Subject) Endpoint {
	return Endpoint{
		DataSource: s.Name, Host: loopback4, Port: port, Socket: socket, Database: s.spec.Spec.Postgres.Database,
		User: subject.ServiceAccount, inject: s.spec.Spec.Inject.Env,
	}
}

// Env returns what a program needs to find the data source, as NAME=value: libpq's variables, and what spec.inject.env
// says, which wins.
func (e Endpoint) Env() []string {
	port := strconv.Itoa(e.Port)
	out := []string{
		"PGHOST=" + e.Host, "PGPORT=" + port, "PGUSER=" + e.User, "PGDATABASE=" + e.Database, "PGSSLMODE=disable",
	}
	fill := strings.NewReplacer("$(USER)", e.User, "$(HOST)", e.Host, "$(PORT)", port, "$(DATABASE)", e.Database)
	for _, v := range e.inject {
		out = append(out, v.Name+"="+fill.Replace(v.Value))
	}
	return out
}

// ConnectionString is the endpoint in libpq's keyword form.
func (e Endpoint) ConnectionString() string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", e.Host, e.Port, quoteValue(e.User), quoteValue(e.Database))
}

// quoteValue quotes a value of a connection string where libpq needs that.
func quoteValue(s string) string {
	if s != "" && !strings.ContainsAny(s, ` '\=`) {
		return s
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

const (
	loopback4 = "127.0.0.1"
	loopback6 = "::1"
)

// portAttempts is how often a port that is free on one loopback address may be taken on the other.
const portAttempts = 16

// listenLoopback listens on a free port of 127.0.0.1 and, where the machine has it, the same port of ::1: a client that
// resolves localhost may come by either, and a stranger's listener on the other would get its traffic.
func listenLoopback() ([]net.Listener, int, error) {
	var err error
	for range portAttempts {
		var four, six net.Listener
		if four, err = net.Listen("tcp4", net.JoinHostPort(loopback4, "0")); err != nil {
			return nil, 0, fmt.Errorf("listening on %s: %w", loopback4, err)
		}
		port := four.Addr().(*net.TCPAddr).Port
		six, err = net.Listen("tcp6", net.JoinHostPort(loopback6, strconv.Itoa(port)))
		switch {
		case err == nil:
			return []net.Listener{four, six}, port, nil
		case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
			return []net.Listener{four}, port, nil
		}
		_ = four.Close() // nobody was told of it
	}
	return nil, 0, fmt.Errorf("listening on %s: %w", loopback6, err)
}

// listenSocket listens on a unix socket by libpq's name. Go removes the file when the listener is closed.
func listenSocket(dir string, port int) (net.Listener, error) {
	path := filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
	ln, err := net.Listen("unix", path)
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the path is told already
	}
	if err != nil {
		return nil, fmt.Errorf("the unix socket %s: %w: choose a folder that is there, is yours, and has a short name", path, err)
	}
	return ln, nil
}
