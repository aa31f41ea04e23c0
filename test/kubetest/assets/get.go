package assets

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How long setup-envtest may take. Where there is no network it fails at once; where packets vanish it has to be stopped, since
// the build takes its place.
const (
	compilePatience  = 3 * time.Minute  // of the tool itself, on a busy machine
	indexPatience    = 20 * time.Second // until it knows what is offered
	downloadPatience = 5 * time.Minute  // about 100 MB
)

// download has setup-envtest deliver the programs. The error is short: it is told, and then the build begins.
func (c *cache) download(ctx context.Context, progress io.Writer) (string, error) {
	tool, err := c.output(ctx, compilePatience, "go", "tool", "-modfile=hack/tools/go.mod", "-n", "setup-envtest")
	if err != nil {
		return "", err
	}
	version, from := c.minor()+".x", []string{"--bin-dir", c.downloads()}
	if c.index != "" {
		from = append(from, "--index", c.index)
	}
	offered, err := c.output(ctx, indexPatience, tool, append([]string{"list", version}, from...)...)
	if err != nil {
		return "", err
	}
	if !strings.Contains(offered, c.minor()+".") {
		return "", errors.New("it is not offered for download")
	}
	_, _ = fmt.Fprintf(progress, "kube-assets: downloading etcd, kube-apiserver and kubectl %s\n", version)
	dir, err := c.output(ctx, downloadPatience, tool, append([]string{"use", version, "--print", "path"}, from...)...)
	if err != nil {
		return "", err
	}
	if lacking := lacks(dir); len(lacking) > 0 {
		return "", fmt.Errorf("what was downloaded lacks %s", strings.Join(lacking, ", "))
	}
	return dir, nil
}

// output runs a command in the repository and returns what it printed. An error is the last line of what it complained.
func (c *cache) output(ctx context.Context, patience time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.root
	cmd.WaitDelay = time.Second // a grandchild must not hold the pipes
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("no answer within %s", patience)
	case err != nil:
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return strings.TrimSpace(string(out)), nil
}

// binary is the one program that all [Programs] are links to.
const binary = "kube"

// buildArguments are those of go build. Kubernetes learns its version from its linker alone; without it, kubectl and clients
// that look at the server's version would be told v0.0.0.
func buildArguments(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	flags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, setting := range []string{"gitVersion=" + version, "gitMajor=" + major, "gitMinor=" + minor, "gitTreeState=clean"} {
			flags += " -X " + pkg + "." + setting
		}
	}
	return []string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", flags}
}

// build compiles hack/kube into a new folder of the cache. The folder gets its name when it is complete, and never changes
// after that.
func (c *cache) build(ctx context.Context, progress io.Writer) (string, error) {
	const prefix = "new-"
	abandoned, _ := filepath.Glob(filepath.Join(c.dir, prefix+"*")) // by a build that was killed: the lock is ours
	for _, dir := range abandoned {
		_ = os.RemoveAll(dir) // at worst it stays until the next build
	}
	dir, err := os.MkdirTemp(c.dir, prefix)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // gone already if all went well
	if err := c.compile(ctx, filepath.Join(dir, binary), progress); err != nil {
		return "", err
	}
	for _, name := range Programs {
		if err := os.Symlink(binary, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // programs that anybody could build
		return "", err
	}
	// An incomplete folder of that name can only be one that somebody deleted from.
	if err := errors.Join(os.RemoveAll(c.built), os.Rename(dir, c.built)); err != nil {
		return "", err
	}
	return c.built, c.removeOld()
}

// maxBuilds is how many builds are kept: of this version, and of other branches. Each has 130 MB.
const maxBuilds = 4

// removeOld removes all but the newest builds.
func (c *cache) removeOld() error {
	builds, err := filepath.Glob(filepath.Join(c.dir, "v*-*"))
	if err != nil {
		return err
	}
	age := func(dir string) time.Duration {
		info, err := os.Stat(dir)
		if err != nil {
			return 0
		}
		return time.Since(info.ModTime())
	}
	slices.SortFunc(builds, func(a, b string) int { return cmp.Compare(age(a), age(b)) })
	for _, dir := range builds[min(len(builds), maxBuilds):] {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (c *cache) compile(ctx context.Context, output string, progress io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append(buildArguments(c.version), "-o", output, ".")...)
	cmd.Dir = c.source()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	// The compilers belong to the build: they have to end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	report := newReport(progress, fmt.Sprintf("kube-assets: building etcd, kube-apiserver and kubectl %s (once, about 12 minutes on two cores)", c.version))
	if err := cmd.Start(); err != nil {
		return err
	}
	complaints := report.follow(stderr)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("building etcd, kube-apiserver and kubectl: %w\n%s", err, complaints)
	}
	return nil
}

// report tells a person how far a build is, by what `go build -v` prints: the import path of each package, when its
// compilation begins.
type report struct {
	out   io.Writer
	title string
	begin time.Time
}

// reportEvery is short enough to see that something happens, and long enough for the log of a machine.
const reportEvery = 15 * time.Second

func newReport(out io.Writer, title string) *report {
	_, _ = fmt.Fprintln(out, title)
	return &report{out: out, title: title, begin: time.Now()}
}

// maxComplaints bounds what is kept of what a build says beside the names of packages, in lines: the last ones, since modules
// that are downloaded come first and errors last.
const maxComplaints = 50

// follow reads until the build has closed its standard error, and returns the end of what is not a package's name.
func (r *report) follow(stderr io.Reader) (complaints string) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			lines <- scanner.Text()
		}
		_, _ = io.Copy(io.Discard, stderr) // after a line too long, so that the build does not block
	}()
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	packages, last := 0, "looking at what is there"
	var kept []string
	for {
		select {
		case line, ok := <-lines:
			switch {
			case !ok:
				_, _ = fmt.Fprintf(r.out, "kube-assets: %s: done, %d packages compiled\n", r.elapsed(), packages)
				return strings.Join(kept, "\n")
			case strings.ContainsAny(line, " \t:") || line == "":
				kept = append(kept, line)
				kept = kept[max(0, len(kept)-maxComplaints):]
			default:
				packages++
				last = line
			}
		case <-ticker.C:
			_, _ = fmt.Fprintf(r.out, "kube-assets: %s: %d packages compiled, now %s\n", r.elapsed(), packages, last)
		}
	}
}

func (r *report) elapsed() time.Duration { return time.Since(r.begin).Round(time.Second) }
