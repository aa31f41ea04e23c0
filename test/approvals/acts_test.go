package approvals

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tidewaiter/tidewaiter/test/kubetest/assets"
)

const (
	// rounds that are timed from a decision to the first byte, and budget of their median.
	rounds = 20
	flows  = 200 * time.Millisecond
	// debianPython is the Python whose packages Debian's python3-* are.
	debianPython = "/usr/bin/python3"
	// bite is how soon what was revoked has to be refused.
	bite = 2 * time.Second

	export = "copy orders to stdout"
	bulk   = "select * from customers"
)

func TestPeopleAnswerWhatAnAgentAsks(t *testing.T) {
	s := open(t)
	p := s.pod("report")
	for _, act := range []struct {
		title string
		play  func(*stage, *pod)
	}{
		{"a held COPY is approved with stock kubectl", approvedWithKubectl},
		{"bytes flow soon after the decision", bytesFlow},
		{"denied: an ordinary error, and the connection goes on", denied},
		{"the plugin shows what is asked for, and answers", pluginAnswers},
		{"who is to know is told by a webhook", webhookTells},
		{"nobody answers: it expires", expired},
		{"the request is deleted: it ends", deleted},
		{"a cancel request withdraws it", canceled},
		{"the client goes: the request is withdrawn", clientGone},
		{"the server goes: the client is told, the request is withdrawn", serverGone},
		{"the operator restarts while it is held", operatorRestarts},
		{"decisions that do not count are refused, with the reason", refusedDecisions},
		{"two approvers, one of a group", twoApprovers},
		{"one person breaks the glass", glassBroken},
		{"a grant for the session", sessionGrant},
		{"a grant for an hour is revoked, and that bites", hourlyGrant},
		{"access ahead of time ends when it is revoked", aheadOfTime},
		{"refused at once, and run once approved", refuseAndRetry},
		{"a shorter wait inside of a transaction", insideTransaction},
		{"a limit asks in the middle of a result", limitAsks},
		{"psql, pgx and psycopg stay connected", clientsStay},
		{"tags that follow values outlive the sidecar", tagsOutlive},
	} {
		if only := os.Getenv("TIDEWAITER_ACT"); only != "" && !strings.Contains(act.title, only) {
			continue
		}
		begin := time.Now()
		act.play(s, p)
		t.Logf("%-64s %6d ms", act.title, time.Since(begin).Milliseconds())
		if t.Failed() {
			return
		}
	}
}

func approvedWithKubectl(s *stage, p *pod) {
	out, done := s.command("psql", "-X", "-At", s.url(p), "-c", export, "-c", "select 42")
	var name string
	s.until("psql shows the notice", func(context.Context) error {
		found := heldAs.FindStringSubmatch(out.String())
		if found == nil {
			return fmt.Errorf("it shows %q", out.String())
		}
		name = found[1]
		return nil
	})
	list, err := s.cluster.Kubectl(s.Context(), "", "get", "treq", "-n", "data", "-o", "wide")
	s.must(err)
	description, err := s.cluster.Kubectl(s.Context(), "", "describe", "treq", name, "-n", "data")
	s.must(err)
	s.Logf("\n%s\n%s", list, description)
	_, err = s.cluster.Kubectl(s.Context(), fmt.Sprintf(`
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessDecision
metadata: {generateName: %[1]s-, namespace: data}
spec: {requestRef: {name: %[1]s}, decision: Approve, reason: "the monthly report"}
`, name), "create", "-f", "-", "--as", "alice")
	s.must(err)
	s.must(<-done)
	if text := out.String(); strings.Count(text, "\n") < 2001 || !strings.HasSuffix(text, "42\n") {
		s.Errorf("psql shows %d lines, the last of them %q", strings.Count(text, "\n"), text[max(0, len(text)-80):])
	}
	s.state(name, "Approved")
	s.Logf("\n%s", out.String()[:min(len(out.String()), 400)])
}

func bytesFlow(s *stage, p *pod) {
	c := s.connect(p)
	alice := s.as("alice").Resource(decisions).Namespace("data")
	for _, sql := range []string{export, bulk} {
		var took []time.Duration
		for range rounds {
			a := c.begin(sql)
			name := c.held()
			begin := time.Now()
			_, err := alice.Create(s.Context(), decision(name, "Approve", "seen"), metav1.CreateOptions{})
			s.must(err)
			got := s.ends(a)
			if got.err != nil || got.rows == 0 {
				s.Fatalf("%s: %s", sql, got.text())
			}
			took = append(took, got.at.Sub(begin))
		}
		slices.Sort(took)
		s.Logf("%s: from the decision to the first byte: median %v, longest %v", sql, took[rounds/2].Round(time.Millisecond), took[rounds-1].Round(time.Millisecond))
		if median := took[rounds/2]; median > flows {
			s.Errorf("%s: the median is %v, of at most %v", sql, median, flows)
		}
	}
}

func denied(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin(export)
	name := c.held()
	s.must(s.decides("alice", name, "Deny"))
	got := s.ends(a).text()
	s.Logf("the client is told:\n%s", got)
	for _, want := range []string{"42501", "data/" + name, "alice", "seen"} {
		if !strings.Contains(got, want) {
			s.Errorf("it does not say %q", want)
		}
	}
	s.state(name, "Denied")
	c.works()
	a = c.begin(export) // and it can be asked for again
	s.must(s.decides("alice", c.held(), "Approve"))
	if got := s.ends(a); got.rows != 2000 {
		s.Errorf("approved then: %s", got.text())
	}
}

func pluginAnswers(s *stage, p *pod) {
	root, err := assets.Root()
	s.must(err)
	binary := filepath.Join(s.TempDir(), "kubectl-tidewaiter")
	build := exec.CommandContext(s.Context(), "go", "build", "-o", binary, "./cmd/kubectl-tidewaiter")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	plugin := func(args ...string) string {
		cmd := exec.CommandContext(s.Context(), binary, append(args, "--kubeconfig", s.cluster.API.KubeConfig)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.Errorf("kubectl tidewaiter %s: %v", strings.Join(args, " "), err)
		}
		s.Logf("$ kubectl tidewaiter %s\n%s", strings.Join(args, " "), out)
		return string(out)
	}
	c := s.connect(p)
	a := c.begin("select * from customers")
	name := c.held()
	if out := plugin("requests", "-n", "data"); !strings.Contains(out, name) || !strings.Contains(out, "500") {
		s.Error("the list has not the request, with the rows that are expected")
	}
	if out := plugin("approve", "-n", "data", name, "--yes", "--as", "alice", "--as-group", "system:authenticated"); !strings.Contains(out, "select * from customers") {
		s.Error("the statement was not shown")
	}
	if got := s.ends(a); got.rows != 500 {
		s.Error(got.text())
	}
	a = c.begin(export)
	plugin("deny", "-n", "data", c.held(), "--reason", "not on a Sunday", "--yes", "--as", "alice", "--as-group", "system:authenticated")
	if got := s.ends(a).text(); !strings.Contains(got, "not on a Sunday") {
		s.Error(got)
	}
	if out := plugin("sessions", "-n", "shop"); !strings.Contains(out, "report") {
		s.Error("the session is not listed")
	}
	if out := plugin("status", "-n", "shop", "report"); !strings.Contains(out, "protected") || strings.Contains(out, "NOT protected") {
		s.Error("the pod is not said to be protected")
	}
}

func webhookTells(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin("select name, 'canary-constant' as c from customers")
	name := c.held()
	s.must(s.decides("alice", name, "Deny"))
	s.ends(a)
	for _, kind := range []string{"pending", "denied"} {
		s.until("the webhook is told that it is "+kind, func(context.Context) error {
			var all []string
			found := false
			s.told.Range(func(key, value any) bool {
				all = append(all, fmt.Sprint(key))
				if strings.HasPrefix(fmt.Sprint(key), "dev.tidewaiter.accessrequest."+kind+" ") && strings.Contains(fmt.Sprint(value), name) {
					found = true
					if strings.Contains(fmt.Sprint(value), "canary") {
						s.Errorf("the event has a constant of the statement: %s", value)
					}
				}
				return true
			})
			if !found {
				return fmt.Errorf("it has: %v", all)
			}
			return nil
		})
	}
}

func expired(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin("select * from brief")
	name := c.held()
	got := s.ends(a).text()
	s.Logf("the client is told:\n%s", got)
	if !strings.Contains(got, "42501") || !strings.Contains(got, name) {
		s.Error("that does not name the request")
	}
	s.state(name, "Expired")
	s.refused("a decision after that", s.decides("alice", name, "Approve"), "xpired")
	c.works()
}

func deleted(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin(export)
	name := c.held()
	_, err := s.cluster.Kubectl(s.Context(), "", "delete", "treq", name, "-n", "data")
	s.must(err)
	if got := s.ends(a).text(); !strings.Contains(got, "42501") || !strings.Contains(got, name) {
		s.Errorf("the client is told: %s", got)
	}
	c.works()
}

func canceled(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin(export)
	name := c.held()
	s.must(c.CancelRequest(s.Context()))
	if got := s.ends(a).text(); !strings.Contains(got, "57014") {
		s.Errorf("the client is told: %s", got)
	}
	s.state(name, "Withdrawn")
	c.works()
}

func clientGone(s *stage, p *pod) {
	c := s.connect(p)
	c.begin(export)
	name := c.held()
	s.must(c.Conn().Close())
	s.state(name, "Withdrawn")
	s.refused("a decision after that", s.decides("alice", name, "Approve"), "ithdrawn")
}

func serverGone(s *stage, p *pod) {
	c := s.connect(p)
	pid := c.PID()
	a := c.begin(export)
	name := c.held()
	s.must(s.db.Exec(s.Context(), s.name, fmt.Sprintf("select pg_terminate_backend(%d)", pid)))
	if got := s.ends(a).text(); !strings.Contains(got, "57P01") {
		s.Errorf("the client is told: %s", got)
	}
	s.state(name, "Withdrawn")
}

func operatorRestarts(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin(export)
	name := c.held()
	s.must(s.cluster.StopOperator())
	s.must(s.cluster.StartOperator(s.Context()))
	s.until("the decision is taken", func(context.Context) error { return s.decides("alice", name, "Approve") })
	begin := time.Now()
	if got := s.ends(a); got.rows != 2000 {
		s.Errorf("approved after the restart: %s", got.text())
	}
	s.Logf("the hold went on %v after the decision", time.Since(begin).Round(time.Millisecond))
	c.works()
}

func refusedDecisions(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin(export)
	name := c.held()
	request := s.state(name, "Pending")

	s.refused("a user without the verb", s.decides("mallory", name, "Approve"), "approve")
	s.refused("the pod's own account", s.decides("system:serviceaccount:shop:report-agent", name, "Approve"), "cannot answer itself")
	own, err := s.cluster.API.PodToken(s.Context(), p.Pod)
	s.must(err)
	_, err = s.cluster.Kubectl(s.Context(), approval(name), "create", "-f", "-", "--kubeconfig", s.kubeconfig(own))
	s.refused("another token of the pod's account", err, "cannot answer itself")
	_, err = s.by(own, "alice").Resource(decisions).Namespace("data").Create(s.Context(), decision(name, "Approve", "seen"), metav1.CreateOptions{})
	s.refused("an impersonated approver", err, "cannot impersonate")

	spoofed := decision(name, "Approve", "seen")
	s.must(unstructured.SetNestedField(spoofed.Object, "alice", "spec", "decidedBy", "username"))
	_, err = s.as("mallory").Resource(decisions).Namespace("data").Create(s.Context(), spoofed, metav1.CreateOptions{})
	s.refused("somebody else's name in decidedBy", err, "approve")
	altered := decision(name, "Approve", "seen")
	s.must(unstructured.SetNestedField(altered.Object, strings.Repeat("0", 64), "spec", "requestRef", "digest"))
	_, err = s.as("alice").Resource(decisions).Namespace("data").Create(s.Context(), altered, metav1.CreateOptions{})
	s.refused("a decision for an altered digest", err, "digest")
	other := decision(name, "Approve", "seen")
	s.must(unstructured.SetNestedField(other.Object, "11111111-2222-3333-4444-555555555555", "spec", "requestRef", "uid"))
	_, err = s.as("alice").Resource(decisions).Namespace("data").Create(s.Context(), other, metav1.CreateOptions{})
	s.refused("a decision for a request of before", err, "uid")
	s.refused("breaking a glass that there is not", s.decides("bob", name, "BreakGlass"), "reak")

	s.must(unstructured.SetNestedField(request.Object, "drop table orders", "spec", "statement", "text"))
	_, err = s.as("mallory").Resource(requests).Namespace("data").Update(s.Context(), request, metav1.UpdateOptions{})
	s.refused("an update of the request", err, "cannot be changed")
	made, err := s.as("alice").Resource(decisions).Namespace("data").Create(s.Context(), decision(name, "Deny", "no"), metav1.CreateOptions{})
	s.must(err)
	if by, _, _ := unstructured.NestedString(made.Object, "spec", "decidedBy", "username"); by != "alice" {
		s.Errorf("decided by %q", by)
	}
	s.must(unstructured.SetNestedField(made.Object, "Approve", "spec", "decision"))
	_, err = s.as("mallory").Resource(decisions).Namespace("data").Update(s.Context(), made, metav1.UpdateOptions{})
	s.refused("an update of the decision", err, "cannot be changed")
	if got := s.ends(a).text(); !strings.Contains(got, "42501") {
		s.Errorf("denied: %s", got)
	}
	s.refused("a second decision", s.decides("bob", name, "Approve"), "enied")
}

func approval(name string) string {
	return fmt.Sprintf(`
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessDecision
metadata: {generateName: %[1]s-, namespace: data}
spec: {requestRef: {name: %[1]s}, decision: Approve}
`, name)
}

// kubeconfig is one with a token.
func (s *stage) kubeconfig(token string) string {
	s.Helper()
	file := s.TempDir() + "/config"
	raw := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: %q}}]\ncurrent-context: c\n", s.cluster.API.Config.Host, token)
	s.must(os.WriteFile(file, []byte(raw), 0o600))
	return file
}

func twoApprovers(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin("select * from pair")
	name := c.held()
	s.must(s.decides("alice", name, "Approve", "dba"))
	s.must(s.decides("alice", name, "Approve", "dba", "security")) // once more is no second person
	s.until("the request says what is missing", func(ctx context.Context) error {
		out, err := s.cluster.Kubectl(ctx, "", "get", "treq", name, "-n", "data", "-o", "jsonpath={.status.missing}")
		if err == nil && out == "" {
			err = fmt.Errorf("it says nothing")
		}
		s.Logf("missing: %s", out)
		return err
	})
	select {
	case got := <-a:
		s.Fatalf("one person was enough: %s", got.text())
	case <-time.After(500 * time.Millisecond):
	}
	s.must(s.decides("bob", name, "Approve", "security"))
	if got := s.ends(a); got.rows != 1 {
		s.Errorf("approved by two: %s", got.text())
	}
}

func glassBroken(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin("select * from glass")
	name := c.held()
	s.refused("without the verb break-glass", s.decides("alice", name, "BreakGlass"), "break-glass")
	s.must(s.decides("bob", name, "BreakGlass"))
	if got := s.ends(a); got.rows != 1 {
		s.Errorf("broken: %s", got.text())
	}
	s.until("it is said loudly", func(ctx context.Context) error {
		out, err := s.cluster.Kubectl(ctx, "", "get", "events", "-A", "--field-selector", "type=Warning")
		if err == nil && !strings.Contains(out, "lass") {
			err = fmt.Errorf("events:\n%s", out)
		}
		return err
	})
}

func sessionGrant(s *stage, p *pod) {
	c := s.connect(p)
	a := c.begin("select * from often where id > 0")
	s.must(s.decides("alice", c.held(), "Approve"))
	if got := s.ends(a); got.rows != 3 {
		s.Fatal(got.text())
	}
	if got := s.ends(c.begin("select * from often where id > 1")); got.rows != 2 {
		s.Errorf("the like of it in the session: %s", got.text())
	}
	other := s.connect(p)
	a = other.begin("select * from often where id > 0")
	s.must(s.decides("alice", other.held(), "Deny"))
	if got := s.ends(a); got.err == nil {
		s.Error("another session has the grant")
	}
	a = c.begin("select id + 1 from often where id > 0")
	s.must(s.decides("alice", c.held(), "Deny"))
	if got := s.ends(a); got.err == nil {
		s.Error("another statement has the grant")
	}
}

func hourlyGrant(s *stage, p *pod) {
	const sql = "select * from hourly where id > 0"
	c := s.connect(p)
	a := c.begin(sql)
	name := c.held()
	s.must(s.decides("alice", name, "Approve"))
	if got := s.ends(a); got.rows != 3 {
		s.Fatal(got.text())
	}
	if got := s.ends(s.connect(p).begin(sql)); got.rows != 3 {
		s.Errorf("another session of the workload: %s", got.text())
	}
	s.must(s.decides("bob", name, "Deny"))
	begin := time.Now()
	a = nil
	for time.Since(begin) < 10*time.Second && a == nil {
		try := c.begin(sql)
		select {
		case got := <-try:
			if got.err != nil {
				s.Fatal(got.text())
			}
		case <-c.notices:
			a = try
		}
	}
	if took := time.Since(begin); took > bite {
		s.Errorf("revoking took %v, of at most %v", took, bite)
	} else {
		s.Logf("it is asked for again %v after it was revoked", took.Round(time.Millisecond))
	}
	s.must(c.CancelRequest(s.Context()))
	s.ends(a)
	s.state(name, "Revoked")
}

func aheadOfTime(s *stage, p *pod) {
	_, err := s.cluster.Kubectl(s.Context(), fmt.Sprintf(`
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessRequest
metadata: {name: ops-7, namespace: data}
spec:
  dataSource: {name: orders}
  policy: reporting
  rule: writes
  requester: {namespace: shop, serviceAccount: report-agent}
  access: {statements: [Update, UnboundedUpdate], tables: [public.ledger], duration: 1h}
  expiresAt: %q
  reason: ticket OPS-7
`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), "create", "-f", "-", "--as", "bob")
	s.must(err)
	s.refused("who asked for it", s.decides("bob", "ops-7", "Approve"), "bob")
	s.must(s.decides("alice", "ops-7", "Approve"))
	s.state("ops-7", "Approved")
	c := s.connect(p)
	if got := s.ends(c.begin("update ledger set id = 2")); got.err != nil {
		s.Errorf("what was approved ahead of time: %s", got.text())
	}
	if got := s.ends(c.begin("update ledger set id = 3 where id = 2")); got.err != nil {
		s.Errorf("and another such statement: %s", got.text())
	}
	s.must(s.decides("alice", "ops-7", "Deny"))
	begin := time.Now()
	for {
		a := c.begin("update ledger set id = 4")
		select {
		case got := <-a:
			if got.err != nil {
				s.Fatal(got.text())
			}
			if time.Since(begin) > bite {
				s.Fatalf("still allowed %v after it was revoked", time.Since(begin))
			}
			continue
		case <-c.notices:
			s.Logf("revoked: held again after %v", time.Since(begin).Round(time.Millisecond))
			s.must(c.CancelRequest(s.Context()))
			s.ends(a)
			return
		}
	}
}

func refuseAndRetry(s *stage, p *pod) {
	c := s.connect(p)
	const sql = "select * from again where id = 1"
	got := s.ends(c.begin(sql)).text()
	found := strings.Index(got, "data/reporting-")
	if found < 0 || !strings.Contains(got, "42501") {
		s.Fatalf("refused with: %s", got)
	}
	s.Logf("the client is told:\n%s", got)
	name := strings.FieldsFunc(got[found+len("data/"):], func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", r) })[0]
	if again := s.ends(c.begin(sql)).text(); !strings.Contains(again, name) {
		s.Errorf("asked again while it waits: %s", again)
	}
	s.must(s.decides("alice", name, "Approve"))
	s.state(name, "Approved")
	s.until("the same statement runs", func(context.Context) error { return s.ends(s.connect(p).begin(sql)).err })
	if got := s.ends(c.begin(sql)); got.err == nil {
		s.Error("it ran twice for one approval")
	}
}

func insideTransaction(s *stage, p *pod) {
	c := s.connect(p)
	s.must(s.ends(c.begin("begin")).err)
	begin := time.Now()
	a := c.begin("update ledger set id = 5")
	c.held()
	got := s.ends(a).text()
	if took := time.Since(begin); took < time.Second || took > 6*time.Second || !strings.Contains(got, "42501") {
		s.Errorf("after %v: %s", took, got)
	}
	if got := s.ends(c.begin("select 1")).text(); !strings.Contains(got, "25P02") {
		s.Errorf("the transaction has not failed: %s", got)
	}
	s.must(s.ends(c.begin("rollback")).err)
	c.works()
}

func limitAsks(s *stage, p *pod) {
	c := s.connect(p)
	for _, sql := range []string{"select * from metered", "copy metered to stdout"} {
		a := c.begin(sql)
		name := c.held()
		request := s.state(name, "Pending")
		exceeded, _, _ := unstructured.NestedMap(request.Object, "spec", "statement", "exceeded")
		s.Logf("the request says: %v", exceeded)
		if exceeded["limit"] != "rowsPerStatement" || exceeded["rows"] != int64(1000) {
			s.Errorf("exceeded: %v", exceeded)
		}
		s.must(s.decides("alice", name, "Approve"))
		if got := s.ends(a); got.rows != 5000 {
			s.Errorf("%s: approved: %s", sql, got.text())
		}
		a = c.begin(sql)
		s.must(s.decides("alice", c.held(), "Deny"))
		if got := s.ends(a); got.err == nil || !strings.Contains(got.text(), "After 1000 rows") {
			s.Errorf("%s: denied: %s", sql, got.text())
		}
		c.works()
	}
}

func clientsStay(s *stage, p *pod) {
	conn, err := pgx.Connect(s.Context(), s.url(p))
	s.must(err)
	defer conn.Close(context.Background())
	notices := s.watchPending()
	batch := &pgx.Batch{}
	batch.Queue("select 1")
	batch.Queue("select * from orders")
	batch.Queue("select 2")
	done := make(chan error, 1)
	go func() {
		results := conn.SendBatch(context.Background(), batch)
		var rows int
		for range 3 {
			r, err := results.Query()
			if err != nil {
				break
			}
			for r.Next() {
				rows++
			}
		}
		err := results.Close()
		if err == nil && rows != 2002 {
			err = fmt.Errorf("%d rows", rows)
		}
		done <- err
	}()
	select {
	case err := <-done:
		s.Fatalf("the batch was not held: %v", err)
	case <-time.After(3 * time.Second):
	}
	s.must(s.decides("alice", notices(), "Approve"))
	s.must(<-done)
	s.must(conn.Ping(s.Context()))
	for _, script := range []struct{ name, program, code string }{
		{"psycopg2", debianPython, "import psycopg2,sys\nc=psycopg2.connect(sys.argv[1]); c.autocommit=True\nr=c.cursor()\ntry:\n  r.execute('select * from orders'); print(len(r.fetchall()))\nexcept psycopg2.Error as e:\n  print(e.pgcode)\nr.execute('select 7'); print(r.fetchone()[0])"},
		{"psycopg", debianPython, "import psycopg,sys\nc=psycopg.connect(sys.argv[1], autocommit=True)\ntry:\n  print(len(c.execute('select *, %s::int from orders', (0,)).fetchall()))\nexcept psycopg.Error as e:\n  print(e.sqlstate)\nprint(c.execute('select 7').fetchone()[0])"},
	} {
		if exec.CommandContext(s.Context(), script.program, "-c", "import "+script.name).Run() != nil {
			s.Logf("%s is not installed: apt-get install -y python3-%s", script.name, script.name)
			continue
		}
		for verdict, want := range map[string]string{"Deny": "42501\n7\n", "Approve": "2000\n7\n"} {
			out, end := s.command(script.program, "-c", script.code, s.url(p))
			select {
			case err := <-end:
				s.Fatalf("%s was not held: %v %s", script.name, err, out.String())
			case <-time.After(time.Second):
			}
			s.must(s.decides("alice", notices(), verdict))
			if err := <-end; err != nil || out.String() != want {
				s.Errorf("%s after %s: %v %q", script.name, verdict, err, out.String())
			}
		}
	}
}

// watchPending returns a function that waits for the next request that was not there before.
func (s *stage) watchPending() func() string {
	seen := map[string]bool{}
	look := func() string {
		list, err := s.as("auditor", "system:masters").Resource(requests).Namespace("data").List(s.Context(), metav1.ListOptions{})
		s.must(err)
		for _, r := range list.Items {
			if !seen[r.GetName()] {
				seen[r.GetName()] = true
				return r.GetName()
			}
		}
		return ""
	}
	for look() != "" {
	}
	return func() (name string) {
		s.until("a request", func(context.Context) error {
			if name = look(); name == "" {
				return fmt.Errorf("there is none")
			}
			return nil
		})
		return name
	}
}

func tagsOutlive(s *stage, p *pod) {
	c := s.connect(p)
	if got := s.ends(c.begin("insert into notes select id, ssn from customers where id = 1")); got.err != nil {
		s.Fatal(got.text())
	}
	for _, when := range []string{"before", "after"} {
		value, err := s.connect(p).Exec(s.Context(), "select note from notes").ReadAll()
		s.must(err)
		if got := string(value[0].Rows[0][0]); got != "*****" {
			s.Errorf("%s the sidecar's restart, the copy shows as %q", when, got)
		}
		if when == "before" {
			s.must(p.sidecar.Kill())
			p.sidecar, err = s.cluster.RunSidecar(s.Context(), p.Pod)
			s.must(err)
			s.must(p.sidecar.Ready(s.Context()))
		}
	}
	out, err := s.cluster.Kubectl(s.Context(), "", "get", "tds", "orders", "-n", "data", "-o", "jsonpath={.status.acquired}")
	s.must(err)
	s.Logf("status.acquired: %s", out)
}
