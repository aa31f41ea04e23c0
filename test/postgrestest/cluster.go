package postgrestest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dirPrefix starts the name of every server's folder in the temporary folder.
const dirPrefix = "tidewaiter-postgres-"

// Ways to end a postmaster (PostgreSQL documentation, "Shutting Down the Server").
const (
	endFast        = syscall.SIGINT
	endImmediately = syscall.SIGQUIT
)

// initialize makes the server's folder, certificates and cluster.
func (s *Server) initialize(ctx context.Context, options Options) error {
	if err := s.makeDir(); err != nil {
		return err
	}
	if err := s.makeCertificates(); err != nil {
		return fmt.Errorf("making the server's certificates: %w", err)
	}
	if err := s.initdb(ctx); err != nil {
		return err
	}
	return s.configure(options)
}

// makeDir makes the folder, readable for the server's user, and locks it: the lock is what tells a folder in use from one
// whose process was killed.
func (s *Server) makeDir() error {
	// Locked under another name first: under its own, another process's removeAbandoned could be faster than the lock.
	dir, err := os.MkdirTemp("", "new-"+dirPrefix)
	if err != nil {
		return err
	}
	s.dir = dir
	if s.lock, err = os.OpenFile(lockFile(dir), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("locking %s: %w", s.lock.Name(), err)
	}
	final := filepath.Join(filepath.Dir(dir), strings.TrimPrefix(filepath.Base(dir), "new-"))
	if err := os.Rename(dir, final); err != nil {
		return err
	}
	s.dir = final
	if err := os.Chmod(final, 0o755); err != nil { //nolint:gosec // the server's user must reach its own folders below
		return err
	}
	for _, name := range []string{"data", "run", "tls"} {
		if err := os.Mkdir(s.path(name), 0o700); err != nil {
			return err
		}
		if err := giveAway(s.path(name)); err != nil {
			return err
		}
	}
	s.SocketDir = s.path("run")
	return os.Chmod(s.SocketDir, 0o755) //nolint:gosec // clients of other users reach the socket; SCRAM guards it
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// removeAbandoned removes the folders of servers whose process was killed before it could. Errors are ignored: the folder of
// another user is not ours to clean.
func removeAbandoned() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*")) // the only error is a bad pattern
	for _, dir := range dirs {
		lock, err := os.OpenFile(lockFile(dir), os.O_RDWR, 0)
		if err != nil {
			continue // just being made, or not ours
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

func (s *Server) initdb(ctx context.Context) error {
	passwordFile := s.path("tls/initial-password")
	if err := s.writeForServer("tls/initial-password", []byte(s.Password)); err != nil {
		return err
	}
	defer func() { _ = os.Remove(passwordFile) }() // Stop removes the folder in any case
	// Trust is for nobody here: pg_hba.conf is replaced before the first start. Saying scram makes initdb store such a verifier.
	cmd := exec.CommandContext(ctx, filepath.Join(s.BinDir, "initdb"), "--pgdata="+s.path("data"), "--username="+s.Superuser,
		"--pwfile="+passwordFile, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	cmd.Dir = s.dir
	if err := dropPrivileges(cmd); err != nil {
		return err
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return nil
}

func (s *Server) configure(options Options) error {
	parameters := map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": s.SocketDir, "max_connections": "200",
		"shared_buffers": "32MB", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
		"ssl": "on", "ssl_cert_file": s.path("tls/server.crt"), "ssl_key_file": s.path("tls/server.key"), "ssl_ca_file": s.path("tls/ca.crt"),
		"password_encryption": "scram-sha-256", "lc_messages": "C", "timezone": "UTC", "log_timezone": "UTC",
	}
	maps.Copy(parameters, options.Parameters)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(parameters[name], "'", "''"))
	}
	if err := s.writeForServer("data/postgresql.conf", []byte(conf.String())); err != nil {
		return err
	}
	return s.writeForServer("data/pg_hba.conf", []byte(hba(options.HBA)))
}

// hba is pg_hba.conf: the first line that fits decides.
func hba(first []string) string {
	lines := slices.Clone(first)
	lines = append(lines,
		"hostssl all "+RoleCertificate+" all cert",
		"host    all "+RoleCertificate+" all reject",
		"host    all "+RoleMD5+" all md5",
		"host    all "+RoleCleartext+" all password",
		"local   all all scram-sha-256",
		"host    all all all scram-sha-256",
		"host    replication all all scram-sha-256",
	)
	return strings.Join(lines, "\n") + "\n"
}

// writeForServer writes a file below the server's folder that only the server's user may read.
func (s *Server) writeForServer(name string, content []byte) error {
	if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
		return err
	}
	return giveAway(s.path(name))
}

// giveAway makes the server's user the owner of a file.
func giveAway(path string) error {
	user, err := unprivilegedUser()
	if err != nil || user == nil {
		return err
	}
	return os.Chown(path, int(user.Uid), int(user.Gid))
}

func (s *Server) startPostmaster() (*Process, error) {
	cmd := exec.Command(filepath.Join(s.BinDir, "postgres"), "-D", s.path("data"), "-p", fmt.Sprint(s.Port))
	cmd.Dir = s.dir
	// A pipe of our own: the one of exec.Cmd is closed when the postmaster ends, which would lose its last words.
	log, stderr, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = stderr
	process, err := StartProcess(cmd)
	if err := errors.Join(err, stderr.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), log.Close())
	}
	go s.readLog(log)
	return process, nil
}

// readLog reads until the last backend has closed the log.
func (s *Server) readLog(log io.ReadCloser) {
	defer func() { _ = log.Close() }() // reading is over: nothing can be lost
	scanner := bufio.NewScanner(log)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		s.log.line(scanner.Bytes())
	}
	_, _ = io.Copy(io.Discard, log) // after a line that is too long: a server must never wait for its log's reader
}

func containsReady(line []byte) bool {
	return bytes.Contains(line, []byte("database system is ready to accept connections"))
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}
