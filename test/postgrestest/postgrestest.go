// Package postgrestest runs a real PostgreSQL server for tests, benchmarks and the demo: a fresh cluster in a temporary
// folder, on a free loopback port, under an unprivileged user, gone when the process that started it is gone.
//
// The server authenticates as a careful operator's would (SCRAM over TCP, TLS offered with a certificate of its own
// authority), and has a role for every other way of authenticating that a client must master; see [RoleMD5].
//
// The package knows PostgreSQL and nothing else: it must not know Tidewaiter, its proxy, its policies or Kubernetes, so that
// everything may be tested with it.
package postgrestest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Roles that every server has beside its superuser. All may log in, own nothing, and share [Server.Password]; each is
// authenticated in its own way.
const (
	// RoleMD5 is asked for an md5 hash of its password.
	RoleMD5 = "md5_role"
	// RoleCleartext is asked for its password in clear text.
	RoleCleartext = "cleartext_role"
	// RoleSCRAM is asked for SCRAM-SHA-256, as the superuser is, but is no superuser.
	RoleSCRAM = "scram_role"
	// RoleCertificate must present [Server.ClientCertificate] over TLS, and no password.
	RoleCertificate = "certificate_role"
)

// stopPatience is how long a server may take to shut down before it is killed.
const stopPatience = 10 * time.Second

// Options changes what [Start] starts. The zero value is a good server for tests.
type Options struct {
	// Parameters are settings for postgresql.conf, on top of and stronger than the package's own.
	Parameters map[string]string
	// HBA are lines for pg_hba.conf that are matched before the package's own.
	HBA []string
	// Log receives the server's log, line by line; nil drops it (the last lines are kept for error messages).
	Log io.Writer
}

// Server is a running PostgreSQL server. Its methods may be called concurrently, except for Stop, Kill and Restart.
type Server struct {
	// Host is the address that the server listens on: 127.0.0.1.
	Host string
	// Port is its TCP port, kept over a Restart.
	Port int
	// Superuser and Password log in over TCP by SCRAM-SHA-256. The password is random.
	Superuser, Password string
	// CAFile is a PEM file with the authority that signed the server's certificate, which is valid for localhost,
	// 127.0.0.1 and ::1.
	CAFile string
	// ClientCertificate and ClientKey are PEM files with which [RoleCertificate] logs in.
	ClientCertificate, ClientKey string
	// SocketDir is the folder of the server's unix socket. SCRAM is asked for there as well.
	SocketDir string
	// BinDir holds the server's programs: pg_dump, pgbench and so on.
	BinDir string

	dir     string
	lock    *os.File
	log     *logTail
	process *Process
}

// Start makes a new cluster and runs it, and returns when it accepts connections: about two seconds. An error says what to
// install when PostgreSQL is missing. The caller must Stop the server; should the process die before, the server dies with it
// and the next Start removes what it left on disk.
func Start(ctx context.Context, options Options) (*Server, error) {
	binDir, err := BinDir()
	if err != nil {
		return nil, err
	}
	removeAbandoned()
	server := &Server{Host: "127.0.0.1", Superuser: "postgres", Password: randomHex(), BinDir: binDir, log: newLogTail(options.Log)}
	if err := server.initialize(ctx, options); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if err := server.run(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if err := server.createRoles(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return server, nil
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// DSN is the connection URL of the superuser for a database ("" is postgres), password included, TLS off.
func (s *Server) DSN(database string) string {
	return s.DSNFor(s.Superuser, database)
}

// DSNFor is the connection URL of a role that has the server's password for a database ("" is postgres), TLS off.
func (s *Server) DSNFor(role, database string) string {
	if database == "" {
		database = "postgres"
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, s.Password), Host: s.Address(), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Address is the server's host:port.
func (s *Server) Address() string { return s.Host + ":" + strconv.Itoa(s.Port) }

// Environment is what libpq programs need to log in as the superuser to a database, as NAME=value.
func (s *Server) Environment(database string) []string {
	return []string{
		"PGHOST=" + s.Host, "PGPORT=" + strconv.Itoa(s.Port), "PGUSER=" + s.Superuser, "PGPASSWORD=" + s.Password,
		"PGDATABASE=" + database, "PGSSLMODE=disable",
	}
}

// CA is the PEM text of [Server.CAFile].
func (s *Server) CA() ([]byte, error) { return os.ReadFile(s.CAFile) }

// PID is the process id of the postmaster; 0 when the server is not running.
func (s *Server) PID() int {
	if s.process == nil {
		return 0
	}
	return s.process.PID()
}

// Log is the end of the server's log, at most 64 KiB: for error messages of tests.
func (s *Server) Log() string { return s.log.String() }

// Stop ends the server at once, without a checkpoint, and removes its data. It may be called more than once.
func (s *Server) Stop() error {
	err := s.end(endImmediately)
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
		s.dir = ""
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}

// Kill ends the server as a power cut would: SIGKILL to the postmaster and all backends, no byte more to any client. The data
// stay; Restart recovers them.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := killTree(s.process)
	s.process = nil
	return err
}

// Restart shuts the server down, if it runs, and starts it again on the same port with the same data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.end(endFast); err != nil {
		return err
	}
	return s.runOnce(ctx)
}

func (s *Server) end(signal os.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(signal, stopPatience)
	s.process = nil
	return err
}

// run picks a free port and starts the postmaster on it. Somebody else may take the port in between; then it tries again.
func (s *Server) run(ctx context.Context) error {
	const attempts = 5
	var err error
	for range attempts {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.runOnce(ctx); err == nil || !strings.Contains(s.Log(), "Address already in use") {
			return err
		}
	}
	return fmt.Errorf("PostgreSQL did not start in %d attempts: %w", attempts, err)
}

func (s *Server) runOnce(ctx context.Context) error {
	ready := s.log.expectReady()
	process, err := s.startPostmaster()
	if err != nil {
		return err
	}
	s.process = process
	select {
	case <-ready:
		return nil
	case <-process.Done():
		s.process = nil
		return fmt.Errorf("PostgreSQL ended while starting; the end of its log:\n%s", s.log)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("waiting for PostgreSQL to start: %w", ctx.Err()), s.end(endImmediately))
	}
}

// logTail is the writer of the server's log: it keeps the last lines and says when the server is ready.
type logTail struct {
	mu    sync.Mutex
	out   io.Writer
	tail  []byte
	ready chan struct{}
}

// maxLogTail bounds the memory that a talkative server may take.
const maxLogTail = 64 << 10

func newLogTail(out io.Writer) *logTail { return &logTail{out: out} }

// expectReady returns a channel that is closed when the server next says that it accepts connections.
func (l *logTail) expectReady() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = make(chan struct{})
	return l.ready
}

// line takes one line of the log. The server is initialized with messages in English, so that the text can be relied on.
func (l *logTail) line(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready != nil && containsReady(line) {
		close(l.ready)
		l.ready = nil
	}
	l.tail = append(append(l.tail, line...), '\n')
	if over := len(l.tail) - maxLogTail; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	if l.out != nil {
		_, _ = fmt.Fprintf(l.out, "%s\n", line) // the log is a courtesy: it must not stop the server
	}
}

// String is what is kept of the log.
func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
