package corpus

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// Every benign row must pass one day; this share must pass now.
const benignPercent = 90

// localProxy starts the product in front of a database, under the corpora's policy.
func localProxy(t *testing.T) StartProxy {
	t.Helper()
	binary, err := localproxy.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	policy, err := Policy()
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, server *postgrestest.Server, database string) (Target, func() error, error) {
		const asWritten = "port: 5432, database: corpus,"
		if !strings.Contains(policy, asWritten) {
			return Target{}, nil, fmt.Errorf("testdata/policy.yaml has no %q to put the server's port into", asWritten)
		}
		here := strings.Replace(policy, asWritten, fmt.Sprintf("port: %d, database: %s,", server.Port, database), 1)
		proxy, err := localproxy.Start(ctx, binary, here+"---\n"+localproxy.Secret("corpus-db", server, server.Superuser))
		if err != nil {
			return Target{}, nil, err
		}
		return Target{Address: proxy.Address, Database: proxy.Database, User: proxy.User}, proxy.Stop, nil
	}
}

func TestNothingLeaksAndWhatMustPassPasses(t *testing.T) {
	judge := newJudge(t, localProxy(t))
	exfil, benign := runAll(t, judge, mustLoad(t, "exfil.tsv")), runAll(t, judge, mustLoad(t, "benign.tsv"))
	all := Report{Results: append(exfil.Results, benign.Results...)}
	if err := all.WriteTable(os.Stdout); err != nil {
		t.Error(err)
	}
	if err := all.WriteDetails(os.Stdout); err != nil {
		t.Error(err)
	}
	for _, verdict := range []Verdict{Leak, Broken} {
		if count := all.Count(verdict); count > 0 {
			t.Errorf("%d runs are %q; want none", count, verdict)
		}
	}
	if percent := benign.AsExpected(); percent < benignPercent {
		t.Errorf("%.1f %% of the benign rows are as expected; want %d %% or more", percent, benignPercent)
	}
}
