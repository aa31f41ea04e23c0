package story

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

func ownersManifests(port int, database string, listen int, password, ca string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: data}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop, tidewaiter.dev/injection: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: report-agent, namespace: shop}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: scram_role, password: %q}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca, namespace: data}
stringData: {ca.crt: %q}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tidewaiter-secrets, namespace: data}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [orders-db, orders-ca], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tidewaiter-secrets, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tidewaiter-secrets}
subjects: [{kind: ServiceAccount, name: tidewaiter-operator, namespace: tidewaiter-system}]
---
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: localhost, port: %d, database: %s, tls: {mode: verify-full, caSecretRef: {name: orders-ca}}}
  credentials: {secretRef: {name: orders-db}}
  allowedNamespaces: {selector: {matchLabels: {team: shop}}}
  listen: {port: %d}
  inject: {env: [{name: DATABASE_URL, value: "postgres://$(USER)@$(HOST):$(PORT)/$(DATABASE)?sslmode=disable"}]}
  classifications:
  - {columns: ["public.customers.ssn"], tags: [pii/ssn]}
  - {columns: ["*.*.email"], tags: [pii/email]}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [report-agent]}]
  rules: [{name: read, action: Allow, statements: [Select, BulkSelect, Transaction, Session], tables: ["public.*"]}]
  masks: [{tags: ["pii/*"], strategy: Redact}, {tags: [pii/email], strategy: Partial, keepDomain: true}]
`, password, ca, port, database, listen)
}

// credentialRotates changes the password while clients connect all the time. The owner does as owners do: another role
// first, then the Secret, then the old role is locked.
func (s *stage) credentialRotates() {
	s.exec("CREATE ROLE next_role LOGIN PASSWORD '" + secrets[1] + "'; GRANT SELECT ON customers, orders TO next_role")
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var connections, asNext atomic.Int64
	failed := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			user, err := whoAmI(ctx, s.url())
			if err != nil && ctx.Err() == nil {
				failed <- err
				return
			}
			connections.Add(1)
			if user == "next_role" {
				asNext.Add(1)
			}
		}
	}()
	patch := fmt.Sprintf(`{"stringData":{"username":"next_role","password":%q}}`, secrets[1])
	s.kubectl("patch", "secret", "orders-db", "-n", "data", "-p", patch)
	begin := time.Now()
	s.until("connections use the new credential", func(context.Context) error {
		select {
		case err := <-failed:
			return clustertest.Hopeless(err)
		default:
		}
		if asNext.Load() == 0 {
			return errors.New("none does")
		}
		return nil
	})
	took := time.Since(begin)
	s.exec("ALTER ROLE scram_role NOLOGIN")
	before := asNext.Load()
	s.until("more connections", func(context.Context) error {
		select {
		case err := <-failed:
			return clustertest.Hopeless(err)
		default:
		}
		if asNext.Load() < before+20 {
			return errors.New("too few")
		}
		return nil
	})
	s.must(s.total(s.Context())) // the connection of before goes on
	s.Logf("the new credential is used %v after kubectl's end; %d connections, no error", took, connections.Load())
}

func whoAmI(ctx context.Context, url string) (user string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select current_user::text").Scan(&user)
	return user, err
}

// operatorIsAway stops the operator, restarts a proxy without it, and brings it back.
func (s *stage) operatorIsAway() {
	s.must(s.cluster.StopOperator())
	if _, err := whoAmI(s.Context(), s.url()); err != nil {
		s.Errorf("a new connection within the lease: %v", err)
	}
	begin := time.Now()
	s.until("new connections are refused", func(ctx context.Context) error {
		_, err := whoAmI(ctx, s.url())
		if pg, ok := asPgError(err); !ok || !strings.Contains(pg.Message, "tidewaiter") {
			return fmt.Errorf("a new connection: %w", err)
		}
		return nil
	})
	s.Logf("new connections are refused %v after the operator's end; the lease is %v", time.Since(begin).Round(time.Millisecond), lease)
	if took := time.Since(begin); took > lease+budget {
		s.Errorf("the lease of %v was over after %v", lease, took)
	}
	s.must(s.total(s.Context())) // the connection of before goes on

	s.must(s.sidecar.Kill())
	var err error
	s.sidecar, err = s.cluster.RunSidecar(s.Context(), s.pod)
	s.must(err)
	s.until("the restarted proxy answers its probe", func(ctx context.Context) error {
		err := s.sidecar.Probe(ctx)
		if err == nil {
			return clustertest.Hopeless(errors.New("it is ready without an operator"))
		}
		if !strings.Contains(err.Error(), "503") {
			return err
		}
		return nil
	})
	if _, err := whoAmI(s.Context(), s.url()); err == nil {
		s.Error("a proxy that restarted without an operator lets clients in")
	}
	s.must(s.cluster.StartOperator(s.Context()))
	s.must(s.sidecar.Ready(s.Context()))
	s.conn, err = pgx.Connect(s.Context(), s.url())
	s.must(err)
	s.must(s.total(s.Context()))
}

// revoked takes the namespace out of those that may attach.
func (s *stage) revoked() {
	s.kubectl("label", "namespace", "shop", "team-")
	begin := time.Now()
	s.until("the running connection is cut off", func(ctx context.Context) error {
		err := s.total(ctx)
		if err == nil {
			return errors.New("it goes on")
		}
		if pg, ok := asPgError(err); ok && !s.conn.IsClosed() {
			return fmt.Errorf("it is denied, not cut off: %s", pg.Message)
		}
		return nil
	})
	took := time.Since(begin)
	s.Logf("a revoked workload is cut off %v after kubectl's end", took)
	if took > budget {
		s.Errorf("that is over the budget of %v", budget)
	}
	if _, err := whoAmI(s.Context(), s.url()); err == nil {
		s.Error("a revoked workload connects again")
	}
	s.shows("Revoked", "get", "tses", "-n", "shop")
	s.kubectl("label", "namespace", "shop", "team=shop")
	s.until("what is allowed again works again", func(ctx context.Context) error {
		_, err := whoAmI(ctx, s.url())
		return err
	})
}

// nothingIsTold looks for the credential wherever a workload, its owner or an auditor can look.
func (s *stage) nothingIsTold() {
	places := map[string]string{"the logs": s.logs.String()}
	kinds := strings.Fields(s.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name"))
	for _, ns := range []string{"shop", "tidewaiter-system"} {
		places["every object of namespace "+ns] = s.kubectl("get", strings.Join(kinds, ","), "-n", ns, "-o", "yaml", "--ignore-not-found", "--show-managed-fields")
	}
	open := strings.ReplaceAll(strings.Join(kinds, ",")+",", "secrets,", "")
	places["every object of the owner's namespace but Secrets"] = s.kubectl("get", strings.TrimSuffix(open, ","), "-n", "data", "-o", "yaml", "--ignore-not-found")
	for who, pid := range map[string]int{"the sidecar": s.sidecar.PID(), "the operator": s.cluster.OperatorPID()} {
		for _, file := range []string{"environ", "cmdline"} {
			raw, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), file))
			if err != nil && !os.IsPermission(err) { // to others than root, who must not see it either
				s.must(err)
			}
			places[who+"'s "+file] = string(raw)
		}
	}
	s.must(filepath.WalkDir(s.cluster.Dir(), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), "tidewaiter-") {
			return err
		}
		raw, err := os.ReadFile(path)
		places["file "+path] = string(raw)
		return err
	}))
	records := s.opened()
	maps.Copy(places, records)
	sawEnough := len(places["the logs"]) > 1000 && strings.Contains(places["every object of namespace shop"], "kind: Session") &&
		slices.ContainsFunc(slices.Collect(maps.Values(records)), func(text string) bool { return strings.Contains(text, "delete from orders") })
	if !sawEnough {
		s.Error("the search has found too little to have looked at all of it")
	}
	for place, content := range places {
		for _, secret := range secrets {
			if strings.Contains(content, secret) || strings.Contains(content, base64.StdEncoding.EncodeToString([]byte(secret))) {
				s.Errorf("%s: the credential is there", place)
			}
		}
	}
	s.Logf("searched %d places for %d secrets", len(places), len(secrets))
}

// podEnds deletes the pod.
func (s *stage) podEnds() {
	s.must(s.sidecar.Stop())
	s.kubectl("delete", "pod", "report", "-n", "shop", "--grace-period=0", "--force")
	s.shows("Ended", "get", "tses", "-n", "shop")
}
