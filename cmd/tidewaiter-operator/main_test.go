package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const patience = time.Minute

func run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestHelpShowsHowItIsRunAndEveryFlag(t *testing.T) {
	code, out, _ := run(t, "run", "--help")
	if code != 0 {
		t.Fatal(out)
	}
	for _, want := range []string{
		"Run the operator until SIGTERM", "tidewaiter-operator run --proxy-image", "--older-proxy-image", "--kubeconfig", "--recordings", "--strict", "--sidecars-address",
		"--webhook-address", "--health-address", "--metrics-address", "--one-replica", "--log-level",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("help does not say %q:\n%s", want, out)
		}
	}
}

func TestMistakesOnTheCommandLineAreToldInOneLine(t *testing.T) {
	for line, want := range map[string]string{
		"runn":                     `unknown command "runn"`,
		"run --log-level=loud":     `--log-level "loud" is neither info nor debug`,
		"run --kubeconfig=/nobody": "set --kubeconfig",
		"run --proxy=x":            "unknown flag: --proxy",
	} {
		code, _, errOut := run(t, strings.Fields(line)...)
		if code != 1 || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 || !strings.HasPrefix(errOut, "error: ") {
			t.Errorf("%s: status %d: %s", line, code, errOut)
		}
	}
	server := kubetest.Shared(t)
	if code, _, errOut := run(t, "run", "--kubeconfig", server.KubeConfig); code != 1 || !strings.Contains(errOut, "set --proxy-image") {
		t.Errorf("without an image: %d %s", code, errOut)
	}
	code, _, errOut := run(t, "run", "--kubeconfig", server.KubeConfig, "--proxy-image=proxy:v2", "--older-proxy-image=")
	if code != 1 || !strings.Contains(errOut, "--older-proxy-image is empty") {
		t.Errorf("with an older image that is none: %d %s", code, errOut)
	}
}

func TestVersionIsTold(t *testing.T) {
	if code, out, _ := run(t, "version"); code != 0 || !strings.HasPrefix(out, "tidewaiter-operator ") {
		t.Errorf("%d %q", code, out)
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output is written by the operator and read by the test.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

func TestItRunsIsNotReadyWithoutAWebhookToAnswerAndStopsWhenTold(t *testing.T) {
	server := kubetest.Shared(t)
	if err := server.CreateNamespace(t.Context(), "tidewaiter-system", nil); err != nil {
		t.Fatal(err)
	}
	health, metrics := free(t), free(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log, done := &output{}, make(chan int, 1)
	go func() {
		done <- execute(ctx, []string{
			"run", "--kubeconfig", server.KubeConfig, "--proxy-image", "proxy.test/proxy:v1", "--one-replica", "--recordings", t.TempDir(),
			"--sidecars-address", free(t), "--recordings-address", free(t), "--webhook-address", free(t), "--health-address", health, "--metrics-address", metrics,
		}, io.Discard, log)
	}()
	eventually := func(what string, check func() error) {
		t.Helper()
		var last error
		if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
			last = check()
			return last == nil, nil
		}); err != nil {
			t.Fatalf("%s: %v\n%s", what, last, log)
		}
	}
	eventually("alive", func() error { _, err := get("http://" + health + "/healthz"); return err })

	// API servers have no configuration by which they could verify this replica: it must not be asked yet.
	eventually("not ready, for that one reason", func() error {
		_, err := get("http://" + health + "/readyz")
		if err == nil || !strings.Contains(err.Error(), "[-]webhook-configuration") {
			return fmt.Errorf("/readyz: %w", err)
		}
		for _, check := range []string{"[+]admission ok", "[+]webhook ok", "[+]distribution ok"} {
			if !strings.Contains(err.Error(), check) {
				return err
			}
		}
		return nil
	})
	server.Kubectl(t, "apply", "-f", "../../config/webhook/injector.yaml")
	eventually("ready", func() error { _, err := get("http://" + health + "/readyz"); return err })

	body, err := get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tidewaiter_admission_pods_seconds_bucket", "controller_runtime_active_workers", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("there is no metric %s", want)
		}
	}
	cancel()
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("status %d\n%s", code, log)
		}
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
	for line := range strings.Lines(log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["time"] == nil || entry["msg"] == nil {
			t.Errorf("not a line of JSON with time and message: %s", line)
		}
	}
}
