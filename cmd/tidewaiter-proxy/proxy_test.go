package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const ssnOf = "select ssn from customers where id = 1"

const (
	readyBudget  = 300 * time.Millisecond // from the operator's answer
	restBudget   = 40 << 10               // kB resident before there was a client
	changeBudget = 2 * time.Second        // from the operator's word to a decision by it
	usedBudget   = 48 << 10               // and after one; three quarters of it are pages of the program's file
)

func TestTheSidecarIsReadySoonAfterTheOperatorsAnswerAndSmallAtRest(t *testing.T) {
	p := newPod(t)
	p.start(t)
	p.stream = p.operator.Next(t)
	if code, body := p.readyz(); code != http.StatusServiceUnavailable || !strings.Contains(body, "has not accepted this sidecar yet") {
		t.Errorf("before: %d %s", code, body)
	}
	snap := p.snapshot(t)
	fastest := time.Hour
	for range 5 { // the best of a few starts: the machine has other work
		answered := time.Now()
		p.stream.Snapshot(t, snap)
		p.ready(t)
		if fastest = min(fastest, time.Since(answered)); fastest <= readyBudget {
			break
		}
		_ = p.stop(t, terminate) // the next start counts
		p.start(t)
		p.stream = p.operator.Next(t)
	}
	rest := p.resident(t)
	conn := p.connect(t)
	if got := ask(conn, ssnOf); got != "*****" {
		t.Errorf("the SSN is shown as %q", got)
	}
	_ = conn.Close(context.Background())
	after := p.resident(t)
	t.Logf("ready %v after the answer; %d kB resident at rest, %d after a statement (%d of the process's own, %d of its file)",
		fastest, rest, after, p.status(t, "RssAnon"), p.status(t, "RssFile"))
	if rest > restBudget || after > usedBudget {
		t.Errorf("%d kB are resident at rest and %d after a statement, of at most %d and %d", rest, after, restBudget, usedBudget)
	}
	if fastest > readyBudget {
		t.Errorf("ready after %v, of at most %v", fastest, readyBudget)
	}
}

func TestAProgramSeesMaskedValuesAndEverythingReachesTheOperator(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	if got := ask(conn, ssnOf); got != "*****" {
		t.Errorf("the SSN is shown as %q", got)
	}
	if got := ask(conn, "delete from customers"); !strings.HasPrefix(got, "ERROR 42501 tidewaiter: Delete on public.customers is denied") {
		t.Errorf("DELETE: %s", got)
	}
	if got := ask(conn, "select current_user"); got != p.role {
		t.Errorf("it is %s to the server", got)
	}
	report := p.stream.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetReport().GetConnections() == 1 }).GetReport()
	if report.GetDataSource() != "data/orders" || report.GetRevision() != p.revision || report.GetOpened() != 1 {
		t.Errorf("the report is %v", report)
	}
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil { // a machine without IPv6 has no ::1 to listen on
		_ = ln.Close()
		six, err := net.Dial("tcp6", fmt.Sprintf("[::1]:%d", p.port))
		if err != nil {
			t.Errorf("on ::1: %v", err)
		} else {
			_ = six.Close()
		}
	}
	_ = conn.Close(context.Background())
	report = p.stream.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool {
		return m.GetReport() != nil && m.GetReport().GetConnections() == 0 && m.GetReport().GetLastRecording() != ""
	}).GetReport()
	if report.GetStatements() != 3 || report.GetDenied() != 1 || report.GetMaskedValues() != 1 || report.GetLastActivity() == nil {
		t.Errorf("the report is %v", report)
	}
	id := "data/orders/" + report.GetLastRecording()
	eventually(t, func() (string, bool) { _, ok := p.kept.Complete()[id]; return "no recording " + id, ok })
	found, err := recording.Verify(bytes.NewReader(p.kept.Plain()[id]))
	if err != nil || found.State != recording.Complete || found.Head.String() != report.GetChainHead() {
		t.Errorf("%v, %v; the head was told as %s", found, err, report.GetChainHead())
	}
	first, err := recording.NewReader(bytes.NewReader(p.kept.Plain()[id])).Next()
	if who := first.Event.Opened; err != nil || who.Identity.Pod != "report-7d9" || who.Identity.PodUID != podUID || who.Identity.Subject() != "shop/report-agent" {
		t.Errorf("the recording is of %+v, %v", who, err)
	}
	eventually(t, func() (string, bool) {
		left, err := filepath.Glob(filepath.Join(p.spool, "*", "*", "*"))
		return fmt.Sprint(left, err), len(left) == 0 && err == nil
	})
}

func TestAPolicyChangeBitesInARunningConnection(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	if got := ask(conn, ssnOf); got != "*****" {
		t.Fatalf("before: %s", got)
	}
	var took []time.Duration
	for i := range 100 {
		want := "*****"
		if p.policy = ""; i%2 == 0 {
			p.policy, want = "[{name: state, action: Allow, statements: [Session]}]", "ERROR 42501 tidewaiter: Select on public.customers is denied (no rule allows it)"
		}
		snap := p.snapshot(t)
		began := time.Now()
		p.stream.Snapshot(t, snap)
		eventually(t, func() (string, bool) { got := ask(conn, ssnOf); return got, got == want })
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	median, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("a policy change was in force after %v (median), %v (p99 of %d)", median, p99, len(took))
	if p99 > changeBudget {
		t.Errorf("a policy change took %v, of at most %v", p99, changeBudget)
	}
}

func TestANewTagMasksTheNextStatementOfARunningConnection(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	if got := ask(conn, "select name from customers where id = 1"); got != "Ada" {
		t.Fatalf("before: %s", got)
	}
	snap := p.snapshot(t)
	snap.DataSources[0].Classifications[0].Columns = []string{"public.customers.ssn", "public.customers.name"}
	p.stream.Snapshot(t, snap)
	if nack := p.stream.Verdict(t, snap.GetRevision()); nack != nil {
		t.Fatal(nack)
	}
	if got := ask(conn, "select name from customers where id = 1"); got != "*****" {
		t.Errorf("after: %s", got)
	}
}

func TestACredentialIsRotatedWithoutAnErrorForClients(t *testing.T) {
	p := serving(t)
	long := p.connect(t)
	var rotated atomic.Bool
	stop, done := make(chan struct{}), make(chan map[string]int)
	go func() {
		seen := map[string]int{}
		defer func() { done <- seen }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			after := rotated.Load()
			conn, err := p.dial("")
			if err != nil {
				seen[word(err)]++
				continue
			}
			who := ask(conn, "select current_user")
			seen[fmt.Sprintf("%v %s", after, who)]++
			_ = conn.Close(context.Background())
		}
	}()
	first := p.role
	p.role = p.newRole(t, "next_"+p.database)
	p.give(t)
	rotated.Store(true)
	eventually(t, func() (string, bool) {
		conn := p.connect(t)
		defer func() { _ = conn.Close(context.Background()) }()
		got := ask(conn, "select current_user")
		return got, got == p.role
	})
	if got := ask(long, "select current_user"); got != first {
		t.Errorf("the running connection is %s", got)
	}
	close(stop)
	for what := range <-done {
		if what != "false "+first && what != "false "+p.role && what != "true "+p.role {
			t.Errorf("a client saw: %s", what)
		}
	}
}

func TestARevocationCutsRunningConnectionsAndSaysWhy(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	ask(conn, ssnOf)
	began := time.Now()
	p.stream.Revoke(t, &sidecarv1alpha1.Revocation{DataSource: "data/orders", Reason: "NotSelected", Message: "No policy selects this pod any more."})
	got := lastWord(conn)
	t.Logf("the connection was cut after %v: %s", time.Since(began), got)
	if time.Since(began) > changeBudget || got != "FATAL 57P01 tidewaiter: access to DataSource data/orders was revoked (NotSelected)" {
		t.Errorf("after %v the client heard: %s", time.Since(began), got)
	}
	if _, err := p.dial(""); word(err) != "FATAL 42501 tidewaiter: access to DataSource data/orders was revoked (NotSelected)" {
		t.Errorf("a new connection: %v", err)
	}
	if code, body := p.readyz(); code != http.StatusServiceUnavailable || !strings.Contains(body, "revoked") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	without := p.snapshot(t)
	without.DataSources = nil
	p.stream.Snapshot(t, without)
	if nack := p.stream.Verdict(t, without.GetRevision()); nack != nil {
		t.Fatal(nack)
	}
	if _, err := p.dial(""); word(err) != "FATAL 42501 tidewaiter: access to DataSource data/orders was revoked (NotSelected)" {
		t.Errorf("a new connection after a snapshot without it: %v", err)
	}
	p.give(t) // and a later snapshot gives it back
	if got := ask(p.connect(t), ssnOf); got != "*****" {
		t.Errorf("given back: %s", got)
	}
}

func TestAClientThatDoesNotReadIsCutOffAllTheSame(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	if err := postgrestest.Shared(t).Exec(t.Context(), p.database, "insert into customers select n, repeat('x', 1000), 'y' from generate_series(3, 50000) n"); err != nil {
		t.Fatal(err)
	}
	results := conn.Exec(context.Background(), "select name from customers")
	defer func() { _ = results.Close() }()
	if !results.NextResult() || !results.ResultReader().NextRow() { // and no further
		t.Fatal("there is no result")
	}
	began := time.Now()
	p.stream.Revoke(t, &sidecarv1alpha1.Revocation{Reason: "NotSelected"})
	eventually(t, func() (string, bool) {
		metrics := p.get(t, "/metrics")
		return metrics, strings.Contains(metrics, `tidewaiter_sessions{datasource="data/orders"} 0`)
	})
	if took := time.Since(began); took > changeBudget {
		t.Errorf("it took %v", took)
	}
}

func TestWhatRunsInTheServerIsCanceledByARevocation(t *testing.T) {
	p := serving(t)
	pg := postgrestest.Shared(t)
	if err := pg.Exec(t.Context(), p.database, "insert into customers select n, 'x', 'y' from generate_series(3, 100000) n"); err != nil {
		t.Fatal(err)
	}
	conn := p.connect(t)
	watching, err := pgconn.Connect(t.Context(), pg.DSN(p.database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watching.Close(context.Background()) }()
	running := func() (string, bool) {
		got := ask(watching, "select count(*) from pg_stat_activity where state = 'active' and usename = '"+p.role+"'")
		return got + " statements run", got == "1"
	}
	answer := make(chan string, 1)
	go func() { answer <- ask(conn, "select count(*) from customers a, customers b where a.name <= b.name") }() // takes minutes
	eventually(t, running)
	began := time.Now()
	p.stream.Revoke(t, &sidecarv1alpha1.Revocation{Reason: "NotSelected"})
	eventually(t, func() (string, bool) { got, ok := running(); return got, !ok })
	t.Logf("nothing ran any more %v after the revocation", time.Since(began))
	if got := <-answer; got != "FATAL 57P01 tidewaiter: access to DataSource data/orders was revoked (NotSelected)" {
		t.Errorf("the client heard: %s", got)
	}
}

func TestWithoutTheOperatorRunningConnectionsGoOnAndNewOnesAreRefusedAfterTheLease(t *testing.T) {
	p := newPod(t)
	p.start(t)
	p.stream = p.operator.Next(t)
	snap := p.snapshot(t)
	snap.Lease.Seconds = 1
	p.stream.Snapshot(t, snap)
	p.ready(t)
	p.stream.Lease(t, 2)
	conn := p.connect(t)
	p.operator.Stop()
	var err error
	eventually(t, func() (string, bool) {
		var c *pgconn.PgConn
		if c, err = p.dial(""); err == nil {
			_ = c.Close(context.Background())
		}
		return "new connections are served", err != nil
	})
	if got := word(err); got != "FATAL 57P03 tidewaiter: no new connections to DataSource data/orders: the operator has not been heard from for too long" {
		t.Errorf("a new connection: %s", got)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Hint == "" {
		t.Errorf("there is no hint: %v", err)
	}
	if got := ask(conn, ssnOf); got != "*****" {
		t.Errorf("the running connection: %s", got)
	}
	p.operator.Restart()
	p.stream = p.operator.Next(t)
	if p.stream.Hello.GetRevision() != p.revision {
		t.Errorf("it holds %d, of %d", p.stream.Hello.GetRevision(), p.revision)
	}
	p.give(t)
	eventually(t, func() (string, bool) {
		c, err := p.dial("")
		if err != nil {
			return word(err), false
		}
		_ = c.Close(context.Background())
		return "", true
	})
}

func TestASidecarThatIsRestartedWithoutTheOperatorServesNothing(t *testing.T) {
	p := serving(t)
	if got := ask(p.connect(t), ssnOf); got != "*****" {
		t.Fatalf("before: %s", got)
	}
	p.operator.Stop()
	_ = p.stop(t, os.Kill) // as a crash
	p.start(t)
	eventually(t, func() (string, bool) {
		code, body := p.readyz()
		return body, code == http.StatusServiceUnavailable && strings.Contains(body, "has not accepted")
	})
	if _, err := p.dial("connect_timeout=2"); err == nil {
		t.Error("it serves")
	}
}

func TestBundlesThatAreNotForThisSidecarAreRefusedAndTheLastGoodOneStays(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	other := operatortest.Start(t)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := p.bundle(t)
	for _, c := range []struct {
		what   string
		change func(*compile.Input)
		spoil  func(*sidecarv1alpha1.Snapshot)
		reason string
	}{
		{"unsigned", nil, func(s *sidecarv1alpha1.Snapshot) { s.DataSources[0].Bundle = unsigned(t, good) }, "BundleUnsigned"},
		{"altered", nil, func(s *sidecarv1alpha1.Snapshot) { s.DataSources[0].Bundle = altered(t, good) }, "BundleAltered"},
		{"signed by a stranger", func(in *compile.Input) { in.Key = stranger }, nil, "BundleAltered"},
		{"a lower revision", func(in *compile.Input) { in.Revision = 1 }, nil, "BundleRevision"},
		{"expired", func(in *compile.Input) { in.NotAfter = time.Now().Add(-time.Minute) }, nil, "BundleExpired"},
		{"another pod's", func(in *compile.Input) { in.Audience = "another-pod" }, nil, "BundleAudience"},
		{"another data source's", func(in *compile.Input) {
			in.DataSource = in.DataSource.DeepCopy()
			in.DataSource.Name = "other"
		}, nil, "BundleAudience"},
		{"another CA's signer", nil, func(s *sidecarv1alpha1.Snapshot) { s.BundleSigners = other.Signer().Chain }, "BundleSigner"},
		{"the server's certificate", nil, func(s *sidecarv1alpha1.Snapshot) { s.BundleSigners = p.operator.Listener("tidewaiter-bundle").Chain }, "BundleSigner"},
		{"an expired signer", nil, func(s *sidecarv1alpha1.Snapshot) {
			s.BundleSigners = p.operator.Signer(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).Chain
		}, "BundleSigner"},
	} {
		p.policy, p.change = `[{name: all, action: Allow, statements: ["*"], tables: ["*.*"]}]`, c.change // more generous than what is in force
		snap := p.snapshot(t)
		if c.spoil != nil {
			c.spoil(snap)
		}
		snap.DataSources[0].Credential.Username = "nobody" // goes with the bundle, all or nothing
		p.stream.Snapshot(t, snap)
		if nack := p.stream.Verdict(t, snap.GetRevision()); nack.GetReason() != c.reason || nack.GetDataSource() != "data/orders" || nack.GetMessage() == "" {
			t.Errorf("%s: %v", c.what, nack)
		}
		if got := ask(conn, "delete from customers"); !strings.HasPrefix(got, "ERROR 42501") {
			t.Fatalf("%s: it is in force: %s", c.what, got)
		}
		if got := ask(p.connect(t), "select current_user"); got != p.role {
			t.Errorf("%s: a new connection: %s", c.what, got)
		}
	}
}

func TestTheListenerMovesAndGoesWithoutARestart(t *testing.T) {
	p := serving(t)
	conn, old := p.connect(t), p.port
	p.port = freePort(t)
	p.give(t)
	if got := ask(p.connect(t), ssnOf); got != "*****" {
		t.Errorf("at the new port: %s", got)
	}
	if got := ask(conn, ssnOf); got != "*****" {
		t.Errorf("the running connection: %s", got)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", old)); err == nil {
		_ = c.Close()
		t.Error("the old port is still open")
	}
	snap := p.snapshot(t)
	snap.DataSources = nil
	p.stream.Snapshot(t, snap)
	if nack := p.stream.Verdict(t, snap.GetRevision()); nack != nil {
		t.Fatal(nack)
	}
	eventually(t, func() (string, bool) { got := ask(conn, ssnOf); return got, conn.IsClosed() })
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port)); err == nil {
		_ = c.Close()
		t.Error("the port of a data source that is gone is open")
	}
}

func TestAPortThatIsTakenIsToldAndNothingElseChanges(t *testing.T) {
	p := serving(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	before := p.port
	p.port = ln.Addr().(*net.TCPAddr).Port
	snap := p.snapshot(t)
	p.stream.Snapshot(t, snap)
	if nack := p.stream.Verdict(t, snap.GetRevision()); nack.GetReason() != "ListenFailed" || !strings.Contains(nack.GetMessage(), "address already in use") {
		t.Errorf("got %v", nack)
	}
	p.port = before
	if got := ask(p.connect(t), ssnOf); got != "*****" {
		t.Errorf("at the old port: %s", got)
	}
}

func TestClientsThatWantTLSAreShownTheListenersCertificate(t *testing.T) {
	p := serving(t)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, p.operator.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, settings := range []string{"sslmode=require", "sslmode=verify-ca sslrootcert=" + ca} {
		conn, err := p.dial(settings)
		if err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		if got := ask(conn, ssnOf); got != "*****" {
			t.Errorf("%s: %s", settings, got)
		}
		_ = conn.Close(context.Background())
	}
}

func TestSIGTERMDrainsAndShipsTheLastRecordings(t *testing.T) {
	p := serving(t)
	idle, busy := p.connect(t), p.connect(t)
	ask(idle, ssnOf)
	if got := ask(busy, "begin"); got != "" {
		t.Fatal(got)
	}
	if err := p.cmd.Process.Signal(terminate); err != nil {
		t.Fatal(err)
	}
	if got := lastWord(idle); got != "FATAL 57P01 tidewaiter: terminating connection because the proxy is stopping" {
		t.Errorf("the idle connection heard: %s", got)
	}
	for _, sql := range [][2]string{{ssnOf, "*****"}, {"commit", ""}} {
		if got := ask(busy, sql[0]); got != sql[1] {
			t.Errorf("%s in a transaction that was open: %s", sql[0], got)
		}
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if n := len(p.kept.Complete()); n != 2 {
		t.Errorf("%d recordings arrived, of 2", n)
	}
}

func TestAFullSpoolDeniesStatementsAndConnectionsSurviveIt(t *testing.T) {
	p := newPod(t)
	p.operator.Keep = nil // nothing is acknowledged
	p.start(t, "--spool-limit", "1048576")
	p.stream = p.operator.Next(t)
	p.give(t)
	p.ready(t)
	conn := p.connect(t)
	const refused = "ERROR 42501 tidewaiter: the statement could not be recorded, so it was refused"
	eventually(t, func() (string, bool) { // what is sealed takes less room, so that it fills up in steps
		for range 200 {
			if got := ask(conn, "select 'taken' where '"+noise(60_000)+"' <> ''"); got == refused {
				break
			} else if got != "taken" {
				t.Fatalf("with a full spool: %s", got)
			}
		}
		other, err := p.dial("")
		if err == nil {
			_ = other.Close(context.Background())
			return "a new connection with a full spool", false
		}
		got := ask(conn, "select 'taken'")
		return word(err) + "; " + got, strings.HasPrefix(word(err), "FATAL 42501") && got == refused
	})
	p.operator.Keep = p.kept
	p.stream.End(nil)
	p.stream = p.operator.Next(t)
	p.give(t)
	eventually(t, func() (string, bool) { got := ask(conn, "select 'taken'"); return got, got == "taken" })
}

func TestWhereItsOwnerWantsThatStatementsRunUnrecordedWithAFullSpool(t *testing.T) {
	p := newPod(t)
	p.operator.Keep, p.serve = nil, true // nothing is acknowledged
	p.start(t, "--spool-limit", "1048576")
	p.stream = p.operator.Next(t)
	p.give(t)
	p.ready(t)
	conn := p.connect(t)
	fill := func(conn *pgconn.PgConn, unrecorded string) {
		for n := 0; n < 200 && !strings.Contains(p.get(t, "/metrics"), "tidewaiter_unrecorded_sessions "+unrecorded+"\n"); n++ {
			if got := ask(conn, "select 'taken' where '"+noise(60_000)+"' <> ''"); got != "taken" {
				t.Fatalf("statement %d: %s", n, got)
			}
		}
	}
	fill(conn, "1")
	other := p.connect(t) // a session of which nothing is recorded, or not all: what is sealed meanwhile takes less room
	fill(other, "2")
	if got := ask(other, "select 'taken'"); got != "taken" {
		t.Errorf("a new session: %s", got)
	}
	metrics := p.get(t, "/metrics")
	if !strings.Contains(metrics, "tidewaiter_unrecorded_sessions 2\n") || strings.Contains(metrics, "tidewaiter_unrecorded_statements_total 0\n") {
		t.Errorf("the metrics do not tell:\n%s", metrics)
	}
	if n := strings.Count(p.log.String(), "statements run UNRECORDED"); n != 1 {
		t.Errorf("the log tells it %d times", n)
	}
	_ = other.Close(context.Background())
	_ = conn.Close(context.Background())
	p.operator.Keep = p.kept
	p.stream.End(nil)
	p.stream = p.operator.Next(t)
	p.give(t)
	eventually(t, func() (string, bool) {
		beats := p.kept.Heartbeats()
		return fmt.Sprintf("heartbeats %+v", beats), len(beats) > 0 && !beats[0].Recording
	})
	eventually(t, func() (string, bool) {
		return "the spool is not emptied", strings.Contains(p.get(t, "/metrics"), "tidewaiter_spool_bytes 0\n")
	})
	third := p.connect(t)
	ask(third, "select 'kept'")
	_ = third.Close(context.Background())
	eventually(t, func() (string, bool) { return "a later session is not recorded", len(p.kept.Complete()) > 0 })
	p.serve = false // now it is denied again: the connections of before are ended
	p.give(t)
}

func TestTheCredentialIsNowhereButInMemory(t *testing.T) {
	p := serving(t)
	conn := p.connect(t)
	ask(conn, ssnOf)
	p.role = "nobody" // a role that the server does not know: its password shows up in no error
	p.give(t)
	if _, err := p.dial(""); err == nil || strings.Contains(word(err), canary) {
		t.Errorf("a wrong credential: %v", err)
	}
	_ = conn.Close(context.Background())
	eventually(t, func() (string, bool) { return "no recordings", len(p.kept.Complete()) > 0 })
	places := map[string][]byte{"log": []byte(p.log.String())}
	for _, name := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		places[name] = b
	}
	for id, b := range p.kept.Plain() {
		places["recording "+id] = b
	}
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		places[path] = []byte(p.get(t, path))
	}
	if !strings.Contains(string(places["environ"]), podUID) || !strings.Contains(string(places["cmdline"]), "data/orders") || len(places["log"]) == 0 {
		t.Fatal("the places that were searched hold nothing: the test proves nothing")
	}
	if !strings.Contains(string(places["/metrics"]), "tidewaiter_lease_held 1\n") {
		t.Errorf("the metrics do not tell of the lease:\n%s", places["/metrics"])
	}
	for place, b := range places {
		if bytes.Contains(b, []byte(canary)) {
			t.Errorf("the credential is in %s", place)
		}
	}
	if err := filepath.WalkDir(p.spool, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(canary)) {
			t.Errorf("the credential is in %s", path)
		}
		return nil
	}); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		t.Errorf("a core dump is possible: %v\n%s", err, limits)
	}
}
