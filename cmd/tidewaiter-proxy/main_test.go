package main

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// finish runs the command to its end.
func finish(t *testing.T, env []string, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &o, &e, env
	_ = cmd.Run() // the exit code says it
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func TestHelpShowsAnExampleAndEveryFlag(t *testing.T) {
	out, _, code := finish(t, nil, "run", "--help")
	for _, want := range []string{
		"tidewaiter-proxy run --operator tidewaiter-operator.tidewaiter-system.svc:8443 --data-source data/orders",
		"--identity folder", "--spool folder", "--health address", "--data-source namespace/name", "--spool-limit bytes", "--memory-limit bytes",
		"--log-level level", "POD_UID",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out, _, code := finish(t, nil, "version"); code != 0 || !strings.HasPrefix(out, "tidewaiter-proxy ") {
		t.Errorf("version: %d %s", code, out)
	}
}

func TestACommandLineThatCannotBeFollowedIsAnErrorWithItsCure(t *testing.T) {
	whole := []string{"run", "--operator", "127.0.0.1:1", "--data-source", "data/orders", "--spool", t.TempDir(), "--health", "127.0.0.1:1"}
	uid := []string{"POD_UID=" + podUID}
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{uid, []string{"run", "--data-source", "data/orders"}, `error: --operator "": write it as host:port, such as tidewaiter-operator.tidewaiter-system.svc:8443`},
		{nil, whole, "error: POD_UID is not set: set it in the container's env from the field metadata.uid"},
		{uid, append(whole, "stray"), `unknown command "stray"`},
		{uid, append(whole, "--spool", "/dev/null/spool"), "error: --spool /dev/null/spool: "},
	} {
		if out, errOut, code := finish(t, c.env, c.args...); code != 1 || out != "" || !strings.Contains(errOut, c.want) {
			t.Errorf("%q: exit code %d\n%s%s", c.args, code, out, errOut)
		}
	}
}

func TestAHealthPortThatIsTakenEndsTheSidecar(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	address := ln.Addr().String()
	_, errOut, code := finish(t, []string{"POD_UID=" + podUID}, "run", "--operator", "127.0.0.1:1", "--data-source", "data/orders", "--spool", t.TempDir(), "--health", address)
	if code != 1 || !strings.Contains(errOut, "error: --health "+address+": ") {
		t.Errorf("exit code %d\n%s", code, errOut)
	}
}
