package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// childEnvironment makes this test binary a process that starts a server and waits to be killed.
const childEnvironment = "TIDEWAITER_KUBETEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnvironment) != "" {
		runUntilKilled()
	}
	Main(m)
}

func clientFor(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestKubectlSeesAServerOfItsOwnVersionWithOurDefinitions(t *testing.T) {
	server := Shared(t)
	names := server.Kubectl(t, "get", "crd", "-o", "name")
	for _, want := range []string{"datasources.tidewaiter.dev", "accesspolicies.tidewaiter.dev"} {
		if !strings.Contains(names, want) {
			t.Errorf("%s is not among\n%s", want, names)
		}
	}
	version, err := clientFor(t, server.Config).Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if got := server.Kubectl(t, "version"); !strings.Contains(got, "Server Version: "+version.GitVersion) || version.Major != "1" {
		t.Errorf("the server says it is %+v, kubectl says\n%s", version, got)
	}
}

func TestAppliedObjectsAreThere(t *testing.T) {
	server := Shared(t)
	namespace := server.NewNamespace(t, map[string]string{"team": "shop"})
	server.Apply(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: b}}", "-n", namespace)
	if got := server.Kubectl(t, "get", "configmap", "one", "-n", namespace, "-o", "jsonpath={.data.a}"); got != "b" {
		t.Errorf("got %q", got)
	}
	if got := server.Kubectl(t, "get", "namespace", namespace, "-o", "jsonpath={.metadata.labels.team}"); got != "shop" {
		t.Errorf("got %q", got)
	}
}

func TestAUserMayDoNothingUntilABindingSaysSo(t *testing.T) {
	server := Shared(t)
	namespace := server.NewNamespace(t, nil)
	user := clientFor(t, server.User(t, "jane", "shop-developers"))
	if _, err := user.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("without a binding: %v", err)
	}
	server.Kubectl(t, "create", "role", "reader", "--verb=list", "--resource=pods", "-n", namespace)
	server.Kubectl(t, "create", "rolebinding", "readers", "--role=reader", "--group=shop-developers", "-n", namespace)
	waitFor(t, "the group's right to list Pods", func() bool {
		_, err := user.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
}

func TestADeletedNamespaceIsGoneWithAllThatWasInIt(t *testing.T) {
	server := Shared(t)
	ctx := t.Context()
	if err := server.CreateNamespace(ctx, "short-lived", nil); err != nil {
		t.Fatal(err)
	}
	server.Apply(t, "{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: c, image: x}]}}", "-n", "short-lived")
	if err := server.DeleteNamespace(ctx, "short-lived"); err != nil {
		t.Fatal(err)
	}
	client := clientFor(t, server.Config)
	if _, err := client.CoreV1().Namespaces().Get(ctx, "short-lived", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace: %v", err)
	}
	if _, err := client.CoreV1().Pods("short-lived").Get(ctx, "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Pod: %v", err)
	}
	if err := server.CreateNamespace(ctx, "short-lived", nil); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := server.DeleteNamespace(ctx, "short-lived"); err != nil {
		t.Error(err)
	}
}

func TestAPodOfANamespaceThatWasJustAppliedHasItsServiceAccountsToken(t *testing.T) {
	server := Shared(t)
	server.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: just-applied}}")
	t.Cleanup(func() {
		if err := server.DeleteNamespace(context.Background(), "just-applied"); err != nil {
			t.Error(err)
		}
	})
	var pod *corev1.Pod
	waitFor(t, "the Pod's admission", func() (ok bool) {
		var err error
		pod, err = clientFor(t, server.Config).CoreV1().Pods("just-applied").Create(t.Context(), plainPod("one"), metav1.CreateOptions{})
		return err == nil
	})
	if len(pod.Spec.Containers[0].VolumeMounts) != 1 || pod.Spec.ServiceAccountName != defaultAccount {
		t.Errorf("no token was mounted: %+v", pod.Spec)
	}
}

func TestFlagsOfTheAPIServerCanBeReplaced(t *testing.T) {
	server := startOwn(t, Options{Flags: map[string][]string{"disable-admission-plugins": {"ServiceAccount"}}})
	namespace := server.NewNamespace(t, nil)
	pod, err := clientFor(t, server.Config).CoreV1().Pods(namespace).Create(t.Context(), plainPod("one"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.Containers[0].VolumeMounts) > 0 {
		t.Errorf("a token was mounted: %+v", pod.Spec)
	}
}

// startOwn starts a server that is not shared, for one test.
func startOwn(t *testing.T, options Options) *Server {
	t.Helper()
	server, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestAStoppedServerLeavesNothing(t *testing.T) {
	server, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	processes := notes(t, server.dir)
	for range 2 {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(server.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder %s: %v", server.dir, err)
	}
	waitUntilGone(t, append(processes, server.guard.cmd.Process.Pid))
}

func TestAServerDiesWithTheProcessThatStartedIt(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnvironment+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	dir := make([]byte, 4096)
	n, err := out.Read(dir)
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	folder := string(dir[:n])
	processes := notes(t, folder)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	waitUntilGone(t, processes)
	waitFor(t, "the removal of "+folder, func() bool {
		_, err := os.Stat(folder)
		return errors.Is(err, os.ErrNotExist)
	})
}

func runUntilKilled() {
	server, err := Start(Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(server.dir)
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {}
}

// notes are the process ids of a server's programs.
func notes(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pid"))
	if err != nil || len(files) != 2 {
		t.Fatalf("notes of process ids in %s: %q, %v", dir, files, err)
	}
	var processes []int
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); err != nil {
			t.Fatalf("%s notes process %d: %v", file, pid, err)
		}
		processes = append(processes, pid)
	}
	return processes
}

func waitUntilGone(t *testing.T, processes []int) {
	t.Helper()
	for _, pid := range processes {
		waitFor(t, fmt.Sprintf("the end of process %d", pid), func() bool { return !running(pid) })
	}
}

// running is false for a process that has ended and that nobody has asked about yet, which is init's to do here.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func plainPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.org/app"}}},
	}
}
