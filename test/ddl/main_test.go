// Package ddl_test lets somebody else change a database's definitions between any two messages of a client behind the proxy, and
// looks at every byte that the client receives: a statement may be refused then, but no protected value may come.
package ddl_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }
