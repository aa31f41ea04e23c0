package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestRequestsListsWhoWaitsAndAllOfThemWhenAsked(t *testing.T) {
	o := newOwner(t)
	if code, out, errOut := o.run("requests"); code != 0 || out != "" || errOut != "nobody waits for an approval in namespace "+o.ns+" (-A looks everywhere); --all lists what is closed\n" {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	o.held(t, "reporting-1")
	o.state(t, o.held(t, "reporting-2"), v1alpha1.AccessRequestStatus{State: v1alpha1.RequestDenied})
	_, out, errOut := o.run("requests")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || errOut != "" || strings.Contains(out, "\x1b") {
		t.Fatalf("%q %s", out, errOut)
	}
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME REQUESTER RULE WHAT ROWS STATE EXPIRES AGE" {
		t.Errorf("the heading is %s", got)
	}
	if got := strings.Join(strings.Fields(lines[1]), " "); !strings.HasPrefix(got, "reporting-1 shop/report-agent (7d9f) exports COPY orders TO STDOUT ~12k Pending 14m ") {
		t.Errorf("the row is %s", got)
	}
	if _, out, _ := o.run("treq", "--all", "-o", "name"); out != "accessrequest.tidewaiter.dev/reporting-1\naccessrequest.tidewaiter.dev/reporting-2\n" {
		t.Errorf("names: %q", out)
	}
	var list v1alpha1.AccessRequestList
	if _, out, _ := o.run("requests", "-o", "json"); json.Unmarshal([]byte(out), &list) != nil || len(list.Items) != 1 || list.Kind != "AccessRequestList" || list.Items[0].Kind != "AccessRequest" {
		t.Errorf("json: %s", out)
	}
	if code, _, errOut := o.run("requests", "-o", "xml"); code != 1 || errOut != "error: -o xml: it is one of json, yaml, wide, name\n" {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestWhoMayNotListIsToldWhichRuleToAskFor(t *testing.T) {
	o := newOwner(t)
	mine := o.user(t, "dave")
	for command, rule := range map[string]string{
		"requests": "{apiGroups: [tidewaiter.dev], resources: [accessrequests], verbs: [list]}",
		"sessions": "{apiGroups: [tidewaiter.dev], resources: [sessions], verbs: [list]}",
	} {
		code, out, errOut := run(command, "-n", o.ns, "--kubeconfig", mine)
		if code != 1 || out != "" || !strings.Contains(errOut, "you may not") || !strings.Contains(errOut, "ask for the rule "+rule) {
			t.Errorf("%s: exit code %d: %s%s", command, code, out, errOut)
		}
	}
}

// watching starts a watch in a process of its own.
func watching(t *testing.T, o *owner, in, args string) (*exec.Cmd, *bufio.Reader, *bytes.Buffer) {
	t.Helper()
	cmd := command(t, append(strings.Fields(args), "--kubeconfig", o.server.KubeConfig, "-n", o.ns)...)
	if in == "terminal" {
		line := strings.Join(cmd.Args, " ")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // what never comes must not be waited for for ever
		t.Cleanup(cancel)
		cmd = exec.CommandContext(ctx, "script", "-qefc", "stty rows 20 cols 180; exec "+line, "/dev/null")
		cmd.Env = append(os.Environ(), asCommand+"=1", "LC_ALL=C.UTF-8", "TERM=xterm")
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out), &errOut
}

// until reads until a text was there, and returns what was read.
func until(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	var seen strings.Builder
	timer := time.AfterFunc(20*time.Second, func() { t.Errorf("%q never came", text) })
	defer timer.Stop()
	for !strings.Contains(seen.String(), text) {
		b, err := r.ReadByte()
		if err != nil {
			t.Fatalf("%q did not come before the end: %q", text, seen.String())
		}
		seen.WriteByte(b)
	}
	return seen.String()
}

func TestAWatchPrintsWhatChangesAndEndsCleanlyWithASignal(t *testing.T) {
	o := newOwner(t)
	r := o.held(t, "reporting-1")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, out, errOut := watching(t, o, "pipe", "requests -w")
		until(t, out, "reporting-1")
		name := "new-" + strings.ToLower(strings.ReplaceAll(signal.String(), " ", "-"))
		other := o.held(t, name)
		until(t, out, name)
		o.state(t, other, v1alpha1.AccessRequestStatus{State: v1alpha1.RequestApproved})
		until(t, out, "Approved") // also of one that no longer waits: somebody was looking at it
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil || errOut.Len() > 0 || strings.Contains(string(rest), "\x1b") {
			t.Errorf("%v: %v %q %s", signal, err, rest, errOut)
		}
	}
	if err := o.Delete(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestAWatchOnATerminalIsDrawnInPlaceAndGivesTheCursorBack(t *testing.T) {
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("script (util-linux) is not here")
	}
	o := newOwner(t)
	o.held(t, "reporting-1")
	cmd, out, _ := watching(t, o, "terminal", "sessions -w")
	until(t, out, "no sessions in namespace "+o.ns)
	o.session(t, "report-7d9f-orders", 10)
	first := until(t, out, "report-7d9f-orders")
	if !strings.Contains(first, "\x1b[1A") || !strings.Contains(first, "PER SECOND") {
		t.Errorf("drawn as %q", first)
	}
	end := exec.CommandContext(t.Context(), "pkill", "-INT", "-P", strconv.Itoa(cmd.Process.Pid))
	if err := end.Run(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || !strings.HasSuffix(string(rest), "\x1b[?25h") {
		t.Errorf("%v: ends with %q", err, rest[max(0, len(rest)-40):])
	}
}

func TestCompletionAsksTheCluster(t *testing.T) {
	o := newOwner(t)
	o.held(t, "reporting-1")
	o.held(t, "reporting-2")
	o.state(t, o.held(t, "reporting-3"), v1alpha1.AccessRequestStatus{State: v1alpha1.RequestApproved})
	complete := func(args ...string) string {
		_, out, _ := run(append([]string{"__complete", args[0], "--kubeconfig", o.server.KubeConfig, "-n", o.ns}, args[1:]...)...)
		return out
	}
	const what = "\tshop/report-agent (7d9f): COPY orders TO STDOUT\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"approve", ""}, "reporting-1" + what + "reporting-2" + what + ":4\n"},
		{[]string{"deny", "reporting-1", "rep"}, "reporting-2" + what + ":4\n"},
		{[]string{"revoke", ""}, "reporting-3" + what + ":4\n"},
		{[]string{"approve", "x"}, ":4\n"},
		{[]string{"request", "--policy", ""}, "reporting\n:4\n"},
		{[]string{"requests", "-o", "w"}, "json\nyaml\nwide\nname\n:4\n"},
	} {
		if got := complete(c.args...); got != c.want {
			t.Errorf("%q is completed by %q", c.args, got)
		}
	}
	if got := complete("approve", "-n", o.ns[:len(o.ns)-1]); !strings.Contains(got, o.ns+"\n") {
		t.Errorf("-n is completed by %q", got)
	}
	if _, out, _ := run("__complete", "approve", "--kubeconfig", "/nowhere", ""); out != ":4\n" {
		t.Errorf("without a cluster: %q", out)
	}
}

func TestAccessIsAskedForAheadOfTime(t *testing.T) {
	o := newOwner(t)
	code, out, errOut := o.run("request", "--datasource", "orders", "--for", "1h", "--reason", "OPS-7")
	if code != 0 || !strings.Contains(errOut, "CopyOut on public.orders for 1h; void at ") || !strings.Contains(errOut, " UTC\nAn approver runs: kubectl tidewaiter approve -n "+o.ns+" reporting-") {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	r := &v1alpha1.AccessRequest{}
	if err := o.Get(t.Context(), client.ObjectKey{Namespace: o.ns, Name: strings.TrimSpace(out)}, r); err != nil {
		t.Fatal(err)
	}
	s := r.Spec
	if s.Policy != "reporting" || s.Rule != "exports" || s.Requester.Namespace != o.ns || s.Requester.ServiceAccount != "report-agent" || s.Reason != "OPS-7" ||
		s.Access == nil || s.Access.Duration.Duration != time.Hour || len(s.Access.Statements) != 1 || s.Access.Statements[0] != "CopyOut" {
		t.Errorf("the request is %+v", s)
	}
	o.weighs(t, r, v1alpha1.RequestApproved, "", "")
	if code, out, errOut := o.run("approve", r.Name, "--yes"); code != 0 || !strings.Contains(errOut, "CopyOut on public.orders for 1h, from the approval on, by "+o.ns+"/report-agent") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

func TestARequestThatNoRuleAsksForIsNotMade(t *testing.T) {
	o := newOwner(t)
	o.server.Apply(t, strings.NewReplacer("name: reporting", "name: other", "CopyOut", "CopyOut, Update").Replace(policy), "-n", o.ns)
	poor := o.user(t, "erin", ours([]string{"get", "list"}, "accesspolicies"))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--datasource", "orders"}, "several rules ask for an approval of statements: choose one: --policy other --rule exports; --policy reporting --rule exports"},
		{[]string{"--datasource", "orders", "--statements", "Delete"}, "no rule of its AccessPolicies asks for an approval of Delete"},
		{[]string{"--datasource", "orders", "--statements", "Update", "--tables", "private.x"}, "asks for an approval of Update on private.x"},
		{[]string{"--datasource", "nope"}, "nope: no rule of its AccessPolicies asks"},
		{[]string{}, "say what it is about: --datasource NAME"},
		{[]string{"--datasource", "orders", "--statements", "Update", "--as-workload", "x"}, `--as-workload "x": write it as namespace/serviceaccount`},
		{[]string{"--datasource", "orders", "--kubeconfig", poor}, "erin may not create accessrequests.tidewaiter.dev"},
	} {
		args := append([]string{"request", "--for", "1h", "-n", o.ns, "--kubeconfig", o.server.KubeConfig}, c.args...)
		if code, out, errOut := run(args...); code != 1 || out != "" || !strings.Contains(errOut, c.says) {
			t.Errorf("%q: exit code %d: %s%s", c.args, code, out, errOut)
		}
	}
	list := &v1alpha1.AccessRequestList{}
	if err := o.Cluster.WithWatch.List(t.Context(), list, client.InNamespace(o.ns)); err != nil || len(list.Items) > 0 {
		t.Errorf("%d requests were made, %v", len(list.Items), err)
	}
	if code, _, errOut := o.run("request", "--datasource", "orders", "--statements", "Update", "--tables", "public.orders", "--for", "1h", "--as-workload", "shop/a"); code != 0 || !strings.Contains(errOut, "Update on public.orders for 1h") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestRequestWaitsForTheAnswer(t *testing.T) {
	o := newOwner(t)
	for state, want := range map[v1alpha1.AccessRequestState]int{v1alpha1.RequestApproved: 0, v1alpha1.RequestDenied: 3} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for list := (&v1alpha1.AccessRequestList{}); t.Context().Err() == nil; time.Sleep(50 * time.Millisecond) {
				if o.Cluster.WithWatch.List(t.Context(), list, client.InNamespace(o.ns)) == nil && len(list.Items) == 1 {
					until := metav1.NewTime(time.Now().Add(time.Hour))
					o.state(t, &list.Items[0], v1alpha1.AccessRequestStatus{State: state, GrantedUntil: &until, Decisions: []v1alpha1.WeighedDecision{{Name: "d", Decision: "Approve", By: "ada"}}})
					return
				}
			}
		}()
		code, out, errOut := o.run("request", "--datasource", "orders", "--for", "1h", "--wait")
		<-done
		if code != want || !strings.Contains(errOut, strings.ToLower(string(state))+" (by ada)") {
			t.Errorf("%s: exit code %d: %s%s", state, code, out, errOut)
		}
		if err := o.DeleteAllOf(t.Context(), &v1alpha1.AccessRequest{}, client.InNamespace(o.ns)); err != nil {
			t.Fatal(err)
		}
	}
}
