package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFlagThatCannotBeFollowedIsToldBeforeAnythingStarts(t *testing.T) {
	file, _ := shop(t)
	for _, c := range []struct {
		flag, value, says string
	}{
		{"--datasource", "data/nope", "error: DataSource data/nope is not in the manifests: write it as namespace/name, and add its file to -f\n"},
		{"--health", "nonsense", "error: --health nonsense: address nonsense: missing port in address: write a free address of this machine, such as 127.0.0.1:9090\n"},
		{"--as", "nonsense", "error: --as \"nonsense\": write it as namespace/serviceaccount, such as shop/report-agent\n"},
		{"--socket", "/nowhere/at/all", "no such file or directory: choose a folder that is there, is yours, and has a short name\n"},
	} {
		code, out, errOut := finish(t, command(t, "local", "-f", file, c.flag, c.value, "--", "echo", "started"))
		if code != 1 || out != "" || !strings.HasSuffix(errOut, c.says) || strings.Contains(errOut, "statements") {
			t.Errorf("%s %s: exit code %d\n%s%s", c.flag, c.value, code, out, errOut)
		}
	}
}

func TestTheSocketAndTheLabelsAreTheCommandsToUse(t *testing.T) {
	file, _ := shop(t)
	socket, recordings := t.TempDir(), t.TempDir()
	cmd := command(t, "local", "-q", "-f", file, "--as", "shop/report-agent", "--labels", "app=web,tier=back", "--namespace-labels", "zone=eu",
		"--datasource", "data/orders", "--socket", socket, "--recordings", recordings, "--", "sh", "-c", "psql -XAt -h "+socket+" -c 'select ssn from customers'")
	code, out, errOut := finish(t, cmd)
	if code != 0 || out != "*****\n" {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	if left, err := os.ReadDir(socket); err != nil || len(left) > 0 {
		t.Errorf("left in the socket's folder: %v, %v", left, err)
	}
	files, err := filepath.Glob(filepath.Join(recordings, "*.twr"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	_, out, _ = run("replay", files[0])
	for _, want := range []string{"shop/report-agent", "app=web", "tier=back", "psql pid ", "Client   on a unix socket"} {
		if !strings.Contains(out, want) {
			t.Errorf("the recording does not tell %q:\n%s", want, out)
		}
	}
}
