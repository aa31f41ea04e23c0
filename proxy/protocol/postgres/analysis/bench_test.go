package analysis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// shop is a catalog as applications have them: some hundred tables, of which the statements of testdata/bench use five.
func shop() *catalog.Snapshot {
	const text, integer, numeric, timestamptz = 25, 23, 1700, 1184
	tagged := map[string]string{"email": "pii/email", "phone": "pii/phone", "ssn": "pii/ssn", "street": "pii/address"}
	table := func(oid uint32, name, columns string) catalog.Relation {
		r := catalog.Relation{OID: oid, Schema: "public", Name: name, Kind: 'r'}
		for i, column := range strings.Fields(columns) {
			c := catalog.Column{Name: column, Num: int16(i + 1), TypeOID: text}
			switch {
			case strings.HasSuffix(column, "id"):
				c.TypeOID = integer
			case strings.HasSuffix(column, "_at"):
				c.TypeOID = timestamptz
			case column == "total" || column == "price" || column == "balance":
				c.TypeOID = numeric
			}
			if tag := tagged[column]; tag != "" {
				c.Tags = []string{tag}
			}
			r.Columns = append(r.Columns, c)
		}
		return r
	}
	relations := []catalog.Relation{
		table(1000, "customers", "id name email phone ssn balance notes region status created_at"),
		table(1001, "orders", "id customer_id total status created_at shipped_at"),
		table(1002, "order_lines", "id order_id product_id quantity price created_at"),
		table(1003, "products", "id name category price status created_at"),
		table(1004, "addresses", "id customer_id street city country created_at"),
	}
	for i := range uint32(300) {
		relations = append(relations, table(2000+i, fmt.Sprintf("t_%d", i), "id name status created_at total notes"))
	}
	return catalog.New(1, catalog.Content{
		SearchPath: []string{"pg_catalog", "public"}, Schemas: []string{"pg_catalog", "public"}, Relations: relations,
	})
}

// benched are the statements of a file of testdata/bench, which a line of dashes separates.
func benched(t testing.TB, file string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "bench", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, text := range strings.Split(string(content), "\n----\n") {
		all = append(all, strings.TrimSpace(text))
	}
	return all
}

// sets are the statements that are measured, with the length that each has at least, in bytes.
var sets = []struct {
	file  string
	least int
}{{"400.sql", 400}, {"2048.sql", 1850}}

func TestTheBenchmarksStatementsAreUnderstood(t *testing.T) {
	cat := shop()
	for _, set := range sets {
		for _, text := range benched(t, set.file) {
			if len(text) < set.least || len(text) > set.least*5/4 {
				t.Errorf("%s: %d bytes: %.60s", set.file, len(text), text)
			}
			result, err := analysis.Analyze(text, nil, cat, analysis.Options{})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			for _, s := range result.Statements {
				if s.Kind == "" || s.ReturnsRows && s.Outputs == nil || len(s.Absent) > 0 {
					t.Errorf("%s: kind %q, outputs %v, absent %v", text, s.Kind, s.Outputs, s.Absent)
				}
			}
		}
	}
}

// BenchmarkAnalyze measures what a new statement costs, parsing included, beside parsing alone. A statement of 400 bytes may cost
// 300 µs at the median, one of 2 KB 1 ms at the 99th percentile.
func BenchmarkAnalyze(b *testing.B) {
	cat := shop()
	for _, set := range sets {
		texts := benched(b, set.file)
		for _, way := range []struct {
			name string
			run  func(text string) error
		}{
			{"analyze", func(text string) error {
				_, err := analysis.Analyze(text, nil, cat, analysis.Options{})
				return err
			}},
			{"parse", func(text string) error {
				_, err := pg.Parse(text)
				return err
			}},
		} {
			b.Run(strings.TrimSuffix(set.file, ".sql")+" bytes/"+way.name, func(b *testing.B) { measure(b, texts, way.run) })
		}
	}
}

// measure reports the median and the 99th percentile over all runs of all texts: of the processor's time, which is what the
// budgets are about, and of the time of day.
func measure(b *testing.B, texts []string, run func(string) error) {
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var worked, waited []time.Duration
	for i := 0; b.Loop(); i++ {
		start, busy := time.Now(), clock()
		if err := run(texts[i%len(texts)]); err != nil {
			b.Fatal(err)
		}
		worked, waited = append(worked, clock()-busy), append(waited, time.Since(start))
	}
	for name, took := range map[string][]time.Duration{"cpu": worked, "wall": waited} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "µs-"+name+"-median")
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "µs-"+name+"-p99")
	}
}
