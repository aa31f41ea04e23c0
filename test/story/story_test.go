// Package story tells what Tidewaiter is for, from the first manifest to the last, on a real API server and a real
// PostgreSQL: the commands of this repository as processes, and nothing in their place. It knows what people see; it must
// not import operator, controllers or proxy.
package story

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/test/clustertest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	// lease of the sidecars, short so that its end can be waited for.
	lease = 6 * time.Second
	// budget for a change of policy, and for a revocation, until it bites.
	budget = 2 * time.Second
	// changes of policy that are timed.
	changes = 100

	shop = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', 'ada@example.org', '078-05-1120'), (2, 'Grace', 'grace@example.com', '219-09-9999');
CREATE TABLE orders (id int PRIMARY KEY, total numeric);
INSERT INTO orders VALUES (1, 99.50);
GRANT SELECT, UPDATE ON customers, orders TO scram_role;`

	// agent is its author's pod: an annotation and nothing else of ours.
	agent = `
apiVersion: v1
kind: Pod
metadata:
  name: report
  namespace: shop
  labels: {app: report}
  annotations: {tidewaiter.dev/inject: data/orders, tidewaiter.dev/health-port: "%d", tidewaiter.dev/log-level: debug}
spec:
  serviceAccountName: report-agent
  containers: [{name: agent, image: registry.test/agent}]
`
)

// secrets of this test: none may be found where a workload, its owner or an auditor can look.
var secrets = []string{"canary-first-7f3a9c", "canary-second-d41b07"}

// stage is what the acts play on.
type stage struct {
	*testing.T
	cluster  *clustertest.Cluster
	db       *postgrestest.Server
	database string
	port     int // of the data source in the pod
	health   int
	logs     *postgrestest.Output
	pod      *corev1.Pod
	sidecar  *clustertest.Sidecar
	conn     *pgx.Conn // the agent's running connection
}

func TestAnAnnotatedPodReachesItsDataThroughTheOwnersPolicy(t *testing.T) {
	s := &stage{T: t, logs: &postgrestest.Output{}, db: postgrestest.Shared(t)}
	s.open()
	defer func() {
		if t.Failed() {
			t.Logf("logs of operator and sidecar, the last of them:\n%s", tail(s.logs.String(), 24<<10))
		}
	}()
	for _, act := range []struct {
		title string
		play  func()
	}{
		{"the owner says what is protected, and by which policy", s.ownerApplies},
		{"a pod with the annotation gets its sidecar", s.podIsInjected},
		{"the agent sees masked values, and is told why something is denied", s.agentWorks},
		{"the session is seen with kubectl", s.sessionIsSeen},
		{"a hundred changes of policy bite in a running connection", s.policyChanges},
		{"the password is changed without a client's error", s.credentialRotates},
		{"what was recorded is with the operator, and its chain holds", s.recordingsArrive},
		{"with the operator gone, connections go on until the lease is over", s.operatorIsAway},
		{"a revoked workload is cut off", s.revoked},
		{"the credential is found nowhere", s.nothingIsTold},
		{"when the pod is gone, its session has ended", s.podEnds},
	} {
		begin := time.Now()
		act.play()
		t.Logf("%-72s %6d ms", act.title, time.Since(begin).Milliseconds())
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// open starts the cluster and fills the database.
func (s *stage) open() {
	s.Helper()
	s.database = s.db.NewDatabase(s.T, shop)
	s.exec("ALTER ROLE scram_role PASSWORD '" + secrets[0] + "'")
	var err error
	s.cluster, err = clustertest.Start(s.Context(), clustertest.Options{SidecarLease: lease, Log: s.logs})
	s.must(err)
	s.Cleanup(func() {
		if s.conn != nil {
			_ = s.conn.Close(context.Background()) // the proxy may have ended it
		}
		if s.sidecar != nil {
			_ = s.sidecar.Kill() // the last act stops it
		}
		if err := s.cluster.Stop(); err != nil {
			s.Error(err)
		}
	})
	s.port, err = clustertest.FreePort()
	s.must(err)
	s.health, err = clustertest.FreePort()
	s.must(err)
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) exec(sql string) {
	s.Helper()
	s.must(s.db.Exec(s.Context(), s.database, sql))
}

func (s *stage) kubectl(args ...string) string {
	s.Helper()
	out, err := s.cluster.Kubectl(s.Context(), "", args...)
	s.must(err)
	return out
}

func (s *stage) apply(manifest string) {
	s.Helper()
	_, err := s.cluster.Kubectl(s.Context(), manifest, "apply", "-f", "-")
	s.must(err)
}

func (s *stage) until(what string, check func(context.Context) error) {
	s.Helper()
	s.must(clustertest.Until(s.Context(), what, check))
}

// shows waits until kubectl prints something.
func (s *stage) shows(want string, args ...string) {
	s.Helper()
	s.until("kubectl "+strings.Join(args, " ")+" shows "+want, func(ctx context.Context) error {
		out, err := s.cluster.Kubectl(ctx, "", args...)
		if err == nil && !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			err = fmt.Errorf("it shows:\n%s", out)
		}
		return err
	})
}

func (s *stage) ownerApplies() {
	ca, err := s.db.CA()
	s.must(err)
	s.apply(ownersManifests(s.db.Port, s.database, s.port, secrets[0], string(ca)))
	s.shows("True", "get", "tds", "orders", "-n", "data", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	s.shows("True", "get", "tap", "reporting", "-n", "data", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	s.Logf("\n%s", s.kubectl("get", "tds,tap", "-n", "data"))
}

func (s *stage) podIsInjected() {
	var err error
	s.pod, err = s.cluster.CreatePod(s.Context(), fmt.Sprintf(agent, s.health))
	s.must(err)
	s.startSidecar()
}

func (s *stage) startSidecar() {
	s.Helper()
	var err error
	begin := time.Now()
	s.sidecar, err = s.cluster.RunSidecar(s.Context(), s.pod)
	s.must(err)
	s.must(s.sidecar.Ready(s.Context()))
	s.Logf("the sidecar is ready %d ms after its start", time.Since(begin).Milliseconds())
}

// url is what the agent finds in its environment.
func (s *stage) url() string {
	s.Helper()
	for _, v := range clustertest.Environment(s.pod) {
		if url, ok := strings.CutPrefix(v, "DATABASE_URL="); ok {
			return url
		}
	}
	s.Fatal("the agent has no DATABASE_URL")
	return ""
}

func (s *stage) agentWorks() {
	out, err := exec.CommandContext(s.Context(), "psql", "-X", "-At", s.url(), "-c", "select name, email, ssn as harmless from customers order by id").CombinedOutput()
	s.must(err)
	if want := "Ada|***@example.org|*****\nGrace|***@example.com|*****\n"; string(out) != want {
		s.Fatalf("psql shows:\n%swant:\n%s", out, want)
	}
	s.conn, err = pgx.Connect(s.Context(), s.url())
	s.must(err)
	_, err = s.conn.Exec(s.Context(), "delete from orders")
	if denied, ok := asPgError(err); !ok || denied.Code != "42501" {
		s.Fatalf("a delete that no rule allows: %v", err)
	}
	s.must(s.total(s.Context()))
}

// total asks what the policy allows or not as the acts have it.
func (s *stage) total(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "select total from orders where id = 1")
	return err
}

func (s *stage) sessionIsSeen() {
	s.shows("report data Active", "get", "tses", "-n", "shop", "--no-headers", "-o",
		"custom-columns=POD:.spec.pod.name,DS:.spec.dataSource.namespace,STATE:.status.state", "--field-selector", "spec.pod.name=report,status.state=Active")
	s.shows("1/1", "get", "tap", "-n", "data")
	s.Logf("\n%s\n%s", s.kubectl("get", "tses", "-n", "shop"), s.kubectl("describe", "tap", "reporting", "-n", "data"))
}

// policyChanges opens and closes a table, and times how long each takes to be felt.
func (s *stage) policyChanges() {
	var took []time.Duration
	for i := range changes {
		tables, code := `["public.customers"]`, "42501"
		if i%2 == 1 {
			tables, code = `["public.*"]`, ""
		}
		patch := `[{"op":"replace","path":"/spec/rules/0/tables","value":` + tables + `}]`
		s.kubectl("patch", "tap", "reporting", "-n", "data", "--type=json", "-p", patch)
		begin := time.Now()
		s.until("the change is felt", func(ctx context.Context) error {
			err := s.total(ctx)
			if pg, _ := asPgError(err); pg.Code != code {
				return fmt.Errorf("code %q", pg.Code)
			}
			return nil
		})
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100-1]
	s.Logf("%d changes of policy, from kubectl's end to the running connection: p50 %v, p99 %v, max %v", changes, took[len(took)/2], p99, took[len(took)-1])
	if p99 > budget {
		s.Errorf("p99 is %v, the budget %v", p99, budget)
	}
	s.shows("1/1", "get", "tap", "-n", "data")
}

func asPgError(err error) (pgconn.PgError, bool) {
	pg := (*pgconn.PgError)(nil)
	if !errors.As(err, &pg) {
		return pgconn.PgError{}, false
	}
	return *pg, true
}
