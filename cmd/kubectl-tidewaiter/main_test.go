package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

var update = flag.Bool("update", false, "write the golden files")

// asCommand makes the test binary the command itself, so that tests can run it as a process of its own.
const asCommand = "TIDEWAITER_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	code := m.Run()
	if err := errors.Join(postgrestest.StopShared(), kubetest.StopShared()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run runs a command line in this process.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = execute(args, streams{out: &out, err: &errOut})
	return code, out.String(), errOut.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestHelpIsAsInItsGoldenFileAndHasExamples(t *testing.T) {
	for name, args := range map[string][]string{
		"root": {"--help"}, "local": {"local", "--help"}, "explain": {"explain", "--help"}, "replay": {"replay", "--help"}, "version": {"version", "--help"},
		"requests": {"requests", "--help"}, "approve": {"approve", "--help"}, "deny": {"deny", "--help"}, "revoke": {"revoke", "--help"}, "request": {"request", "--help"},
		"erase": {"erase", "--help"}, "sessions": {"sessions", "--help"}, "export": {"export", "--help"}, "fetch": {"fetch", "--help"}, "status": {"status", "--help"}, "doctor": {"doctor", "--help"}, "verify": {"verify", "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, _ := run(args...)
			if code != 0 || !strings.Contains(out, "Examples:\n") || !strings.Contains(out, "kubectl tidewaiter") {
				t.Errorf("exit code %d, and no examples in:\n%s", code, out)
			}
			if strings.Contains(out, "kubectl-tidewaiter") {
				t.Error("the help speaks of kubectl-tidewaiter, where people type kubectl tidewaiter")
			}
			golden(t, "help-"+name+".txt", out)
		})
	}
}

func TestAMistakeIsOneLineThatSaysWhatToDo(t *testing.T) {
	manifests := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(manifests, []byte("{apiVersion: tidewaiter.dev/v1alpha1, kind: DataSource, metadata: {name: orders}, spec: {protocol: postgres, sepc: 1}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"local"}, "error: say where the manifests are: -f manifests/"},
		{[]string{"local", "-f", "nowhere.yaml"}, "nowhere.yaml"},
		{[]string{"local", "-f", "x", "psql"}, "error: write the command behind --: kubectl tidewaiter local -f … -- psql"},
		{[]string{"local", "-f", "x", "--labels", "app=web,tier", "--", "true"}, `error: --labels: app=web,tier: "web,tier" is no value of a label`},
		{[]string{"local", "-f", "x", "--namespace-labels", "a b=c"}, `error: --namespace-labels: "a b" is no key of a label`},
		{[]string{"explain", "-f", "x", "select", "1"}, "error: write the statement as one argument"},
		{[]string{"explain", "-f", manifests, "select 1"}, "spec.sepc"},
		{[]string{"replay"}, "error: name one recording: kubectl tidewaiter replay FILE.twr"},
		{[]string{"replay", "nowhere.twr"}, "error: open nowhere.twr: no such file or directory"},
		{[]string{"replay", manifests, "--color", "sometimes"}, "error: --color sometimes: it is one of auto, always, never"},
		{[]string{"replay", manifests, "--rows", "-1"}, "error: --rows -1: it is a number of rows"},
		{[]string{"lcoal"}, `error: unknown command "lcoal" for "kubectl tidewaiter"`},
	} {
		code, out, errOut := run(c.args...)
		if code != 1 || out != "" || !strings.Contains(errOut, c.want) {
			t.Errorf("%q: exit code %d, output %q, error:\n%swant: %s", c.args, code, out, errOut, c.want)
		}
		for line := range strings.Lines(errOut) {
			if !strings.HasPrefix(line, "error: ") && !strings.HasPrefix(line, "error: \t") {
				t.Errorf("%q: a line of the error begins with no error: %q", c.args, line)
			}
		}
	}
}

func TestVersionSaysWhatWasBuilt(t *testing.T) {
	code, out, _ := run("version")
	if code != 0 || !strings.HasPrefix(out, "tidewaiter ") || !strings.Contains(out, "recording format 1") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestCompletionIsMadeForEveryShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, errOut := run("completion", shell)
		if code != 0 || !strings.Contains(out, "kubectl-tidewaiter") {
			t.Errorf("%s: exit code %d, %s", shell, code, errOut)
		}
	}
	if _, out, _ := run("__complete", "replay", "--color", ""); !strings.HasPrefix(out, "auto\nalways\nnever\n") {
		t.Errorf("--color is completed by %q", out)
	}
}
