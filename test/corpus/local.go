package corpus

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// LocalProxy starts the product, built by [localproxy.Build], in front of a database, under the corpora's policy.
func LocalProxy(binary string) StartProxy { return localProxyUnder(binary, nil) }

// LocalProxyAtSource is LocalProxy with every mask of the policy in mode Source, and comparisons without a rule of their own: they
// must not need one.
func LocalProxyAtSource(binary string) StartProxy {
	return localProxyUnder(binary, []string{
		`masks: [{tags: ["*"], strategy: Redact}]`, `masks: [{tags: ["*"], strategy: Redact, mode: Source}]`,
		`predicates: Flag`, `predicates: Allow`,
	})
}

// localProxyUnder is LocalProxy with parts of the policy's text replaced: old, new, old, new.
func localProxyUnder(binary string, replacements []string) StartProxy {
	return func(ctx context.Context, server *postgrestest.Server, database string) (Target, func() error, error) {
		policy, err := Policy()
		if err != nil {
			return Target{}, nil, err
		}
		const asWritten = "port: 5432, database: corpus,"
		if !strings.Contains(policy, asWritten) {
			return Target{}, nil, fmt.Errorf("testdata/policy.yaml has no %q to put the server's port into", asWritten)
		}
		for i := 0; i+1 < len(replacements); i += 2 {
			if !strings.Contains(policy, replacements[i]) {
				return Target{}, nil, fmt.Errorf("testdata/policy.yaml has no %q to replace", replacements[i])
			}
			policy = strings.Replace(policy, replacements[i], replacements[i+1], 1)
		}
		here := strings.Replace(policy, asWritten, fmt.Sprintf("port: %d, database: %s,", server.Port, database), 1)
		proxy, err := localproxy.Start(ctx, binary, here+"---\n"+localproxy.Secret("corpus-db", server, server.Superuser))
		if err != nil {
			return Target{}, nil, err
		}
		proxy.Inspect = func(state string, log []byte) error { return inspect(state, log, server.Password) }
		return Target{Address: proxy.Address, Database: proxy.Database, User: proxy.User}, proxy.Stop, nil
	}
}
