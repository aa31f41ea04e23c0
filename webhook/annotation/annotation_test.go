package annotation

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/injection"
)

var update = flag.Bool("update", false, "write the page anew")

const page = "../../docs/annotations.md"

func TestThePageIsWhatTheTableSays(t *testing.T) {
	if *update {
		if err := os.WriteFile(page, []byte(Page()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Page() {
		t.Errorf("%s differs from the table (run with -update)", page)
	}
}

func TestEveryExampleOfTheTableIsUnderstoodAndActs(t *testing.T) {
	plain, problems := Parse("shop", nil)
	if problems != nil {
		t.Fatal(problems)
	}
	for _, e := range Table {
		o, problems := Parse("shop", map[string]string{e.Key: e.Example})
		if problems != nil {
			t.Errorf("%s: %v", e.Key, problems)
		}
		if fmt.Sprintf("%+v", o) == fmt.Sprintf("%+v", plain) {
			t.Errorf("%s: %s changes nothing", e.Key, e.Example)
		}
		if e.Doc == "" || e.Default == "" || e.Type == "" || !strings.HasPrefix(e.Key, injection.Domain) {
			t.Errorf("%s is not told in full: %+v", e.Key, e)
		}
	}
}

func TestANamespaceMayBeLeftOutAndOrderDoesNotCount(t *testing.T) {
	o, problems := Parse("shop", map[string]string{injection.Annotation: " data/orders, cart,data/ledger "})
	if problems != nil || !slices.Equal(o.DataSources, []string{"data/ledger", "data/orders", "shop/cart"}) {
		t.Errorf("%v, %v", o.DataSources, problems)
	}
}

func TestProblemsNameTheAnnotationAndTheCure(t *testing.T) {
	many := make([]string, injection.MaxDataSources+1)
	for i := range many {
		many[i] = fmt.Sprintf("data/x%d", i)
	}
	for _, tc := range []struct{ key, value, want string }{
		{injection.Annotation, "", `metadata.annotations[tidewaiter.dev/inject]: "": names no data source between its commas; write for example data/orders, ledger`},
		{injection.Annotation, "a/b/c", `metadata.annotations[tidewaiter.dev/inject]: "a/b/c" is not namespace/name of a DataSource; write for example data/orders, ledger`},
		{injection.Annotation, "Data/orders", `"Data/orders" is not namespace/name`},
		{injection.Annotation, "x,shop/x", `names shop/x twice`},
		{injection.Annotation, strings.Join(many, ","), `names 17 data sources, where at most 16 are possible`},
		{injection.Annotation, strings.Repeat("a", 6000), `is longer than 5120 bytes`},
		{LogLevel, "Debug", `metadata.annotations[tidewaiter.dev/log-level]: "Debug" is none of [info debug]; write for example debug`},
		{HealthPort, "080", `"080" is not a port from 1024 to 65535`},
		{HealthPort, "65536", `"65536" is not a port`},
		{CPURequest, "0", `0 is not between 1m and 4`},
		{MemoryLimit, "1Ei", `1Ei is not between 64Mi and 16Gi`},
		{SpoolSize, "-1", `-1 is not between 16Mi and 64Gi`},
		{SpoolSize, strings.Repeat("1", 40), `is longer than 32 bytes`},
		{injection.Domain + "injct", "data/orders", `metadata.annotations[tidewaiter.dev/injct]: is not an annotation of Tidewaiter; remove it, or write one of tidewaiter.dev/{inject, sidecar, `},
	} {
		_, problems := Parse("shop", map[string]string{tc.key: tc.value, "example.com/other": "x"})
		if len(problems) != 1 || !strings.Contains(problems[0].String(), tc.want) {
			t.Errorf("%s: %.60q\n got %v\nwant %s", tc.key, tc.value, problems, tc.want)
		}
	}
}
