package test

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

var update = flag.Bool("update", false, "write the outputs in the README anew")

// quickstartPatience bounds the commands of the README's quickstart.
const quickstartPatience = 5 * time.Minute

// example is a block of commands in the README, and the output that it says
// follows; "" where it says nothing.
type example struct{ commands, output string }

func TestTheQuickstartIsTrueWordForWord(t *testing.T) {
	if _, err := postgrestest.BinDir(); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := quickstart(string(readme))
	if len(examples) < 5 {
		t.Fatalf("only %d examples were found in the README", len(examples))
	}
	dir, port := stage(t)
	there := []string{"/tmp/quickstart", filepath.Join(dir, "quickstart"), "54320", port}
	back := strings.NewReplacer(there[1], there[0], there[3], there[2])
	for i, got := range run(t, dir, examples, strings.NewReplacer(there...)) {
		want := examples[i]
		got.output = trimmed(back.Replace(got.output))
		switch {
		case want.output == "" && got.status != "0":
			t.Errorf("%s\nends with status %s:\n%s", want.commands, got.status, got.output)
		case want.output != "" && comparable(got.output) != comparable(want.output):
			if readme = bytes.Replace(readme, []byte(want.output), []byte(got.output), 1); !*update {
				t.Errorf("%s\nprints\n%s\nand the README says\n%s", want.commands, got.output, want.output)
			}
		}
	}
	if *update {
		must(t, os.WriteFile("../README.md", readme, 0o644))
	}
}

func TestTheReadmeShowsTheQuickstartsPolicy(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := os.ReadFile("../docs/quickstart/manifests/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, append([]byte("```yaml\n"), policy...)) {
		t.Error("the policy in the README is not docs/quickstart/manifests/policy.yaml")
	}
}

// quickstart returns the README's blocks of kind "sh", each with the block of
// kind "text" that follows it.
func quickstart(readme string) []example {
	var out []example
	for _, block := range regexp.MustCompile("(?s)\n```(sh|text)\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		if block[1] == "sh" {
			out = append(out, example{commands: block[2]})
		} else if len(out) > 0 {
			out[len(out)-1].output = block[2]
		}
	}
	return out
}

// stage makes a folder that looks to an ordinary user like a clone in which
// `make build` has run, with a port of its own in place of the quickstart's.
func stage(t *testing.T) (dir, port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	ln.Close()

	dir = t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // root's tests run the commands as somebody else
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Mkdir(filepath.Join(dir, "home"), 0o755)) // nothing is to be put there
	must(t, os.CopyFS(filepath.Join(dir, "docs/quickstart"), os.DirFS("../docs/quickstart")))
	manifest := filepath.Join(dir, "docs/quickstart/manifests/datasource.yaml")
	text, err := os.ReadFile(manifest)
	must(t, err)
	must(t, os.WriteFile(manifest, bytes.ReplaceAll(text, []byte("54320"), []byte(port)), 0o644))
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin/kubectl-tidewaiter"), "./cmd/kubectl-tidewaiter")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir, port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// result is what an example did.
type result struct{ status, output string }

// run runs the examples in one shell, and returns how each ended.
func run(t *testing.T, dir string, examples []example, place *strings.Replacer) []result {
	t.Helper()
	const mark = "\n=== end of example: "
	var script strings.Builder
	// Should an example fail, or the test be cut short, the server is stopped all the same.
	fmt.Fprintf(&script, "trap '[ ! -e %[1]s ] || pg_ctl -D %[1]s -s -m immediate stop' EXIT\n", filepath.Join(dir, "quickstart/data"))
	for _, e := range examples {
		fmt.Fprintf(&script, "%s\nprintf '%s%%d\\n' $?\n", strings.TrimSpace(place.Replace(e.commands)), strings.ReplaceAll(mark, "\n", `\n`))
	}
	file := filepath.Join(dir, "script")
	must(t, os.WriteFile(file, []byte(script.String()), 0o644))

	var out bytes.Buffer
	cmd := exec.Command("bash", file)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "LC_ALL=C.UTF-8"}
	p, err := postgrestest.StartProcess(cmd)
	must(t, err)
	select {
	case <-p.Done():
	case <-time.After(quickstartPatience):
		must(t, p.Stop(syscall.SIGTERM, 10*time.Second))
		t.Fatalf("the quickstart takes more than %s; it printed\n%s", quickstartPatience, out.String())
	}
	parts := strings.Split("\n"+out.String(), mark)
	if len(parts) != len(examples)+1 {
		t.Fatalf("of %d examples %d ended:\n%s", len(examples), len(parts)-1, out.String())
	}
	results := make([]result, len(examples))
	for i := range examples {
		results[i].output = parts[i]
		if i > 0 { // its first line is the status of the one before
			results[i-1].status, results[i].output, _ = strings.Cut(parts[i], "\n")
		}
	}
	results[len(results)-1].status = strings.TrimSpace(parts[len(examples)])
	return results
}

// trimmed returns an output as it looks in a text: no blanks at the ends.
func trimmed(output string) string {
	lines := strings.Split(strings.Trim(output, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// changing is what is different each time: times, durations, names made of
// them, ports and hashes.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\dt\d\d-\d\d-\d\d\.\d{3}-[0-9a-f]{8}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}|\d\d:\d\d:\d\d\.\d{3}|\b[0-9.]+ (µs|ms|s)\b|127\.0\.0\.1:\d+|\b[0-9a-f]{64}\b`)

// comparable returns an output without what changes, and with every run of
// blanks as one, since columns are as wide as what is in them.
func comparable(output string) string {
	lines := strings.Split(strings.TrimSpace(changing.ReplaceAllString(output, "…")), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}
