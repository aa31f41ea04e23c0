package functions

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }
