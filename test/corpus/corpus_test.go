package corpus

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func mustLoad(t *testing.T, name string) []Row {
	t.Helper()
	rows, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func newJudge(t *testing.T, start StartProxy) *Judge {
	t.Helper()
	judge, err := NewJudge(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := judge.Close(); err != nil {
			t.Error(err)
		}
	})
	return judge
}

func runAll(t *testing.T, judge *Judge, rows []Row) Report {
	t.Helper()
	var report Report
	for _, row := range rows {
		results, err := judge.Run(t.Context(), row)
		if err != nil {
			t.Fatal(err)
		}
		report.Results = append(report.Results, results...)
	}
	return report
}

// noProxy is the bare server in the proxy's place.
func noProxy(_ context.Context, server *postgrestest.Server, database string) (Target, func() error, error) {
	target := Target{Address: server.Address(), Database: database, User: server.Superuser, Password: server.Password}
	return target, func() error { return nil }, nil
}

func TestWithoutAProxyTheJudgeSeesEveryLeak(t *testing.T) {
	var masked []Row
	for _, row := range mustLoad(t, "exfil.tsv") {
		if row.Expected == Mask {
			masked = append(masked, row)
		}
	}
	report := runAll(t, newJudge(t, noProxy), masked)
	// Rows whose answer holds no secret: the statement fails here, or has no answer, or PostgreSQL keeps nothing to show.
	harmless := map[string]string{"X211": "adding a constraint answers with its tag alone"}
	for _, result := range report.Results {
		if why, isHarmless := harmless[result.Row.ID]; isHarmless {
			t.Logf("%s gives nothing away: %s", result.Row.ID, why)
		} else if result.Verdict != Leak && result.Verdict != Dependent {
			t.Errorf("%s (%s) is %q; want a leak: %s", result.Row.ID, result.Mode, result.Verdict, result.Row.SQL)
		}
	}
	if err := report.WriteTable(os.Stdout); err != nil {
		t.Error(err)
	}
}

func TestWithoutAProxyWhatMustPassPasses(t *testing.T) {
	report := runAll(t, newJudge(t, noProxy), mustLoad(t, "benign.tsv"))
	if err := report.WriteDetails(os.Stdout); err != nil {
		t.Error(err)
	}
	if report.AsExpected() != 100 {
		t.Errorf("%.1f %% of the rows are as expected; want all, or the comparison is unstable", report.AsExpected())
	}
}

func TestACanaryIsFoundInEveryDress(t *testing.T) {
	ssn := "101-45-6001"
	for name, dressed := range map[string]string{
		"plain":            "xx" + ssn + "yy",
		"digits":           "101456001",
		"reversed":         reverse(ssn),
		"hex":              hex.EncodeToString([]byte(ssn)),
		"base64":           base64.StdEncoding.EncodeToString([]byte("abcd" + ssn + "abcd")),
		"letters":          "bkb",
		"first half":       ssn[:5],
		"md5":              "\x00" + hashes(ssn)[1],
		"binary int8":      "\x00\x00\x00\x00\x06\x0c\x13\x01"[:0] + binaryNumbers(101456001)[0],
		"binary numeric":   binaryNumbers(101456001)[2],
		"base64 of sha256": hashes(ssn)[11],
	} {
		if name == "letters" {
			dressed = lettersForDigits("101456001")
		}
		if found := newCanaries().found([]byte(dressed), nil, "SELECT 1"); len(found) == 0 {
			t.Errorf("%s: nothing found in %q", name, dressed)
		}
	}
}

func TestWhatTheClientSaidItselfIsNoLeak(t *testing.T) {
	sql := "SELECT count(*) FROM customers WHERE ssn = '101-45-6001'"
	if found := newCanaries().found([]byte("ERROR near 101-45-6001"), nil, sql); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	if found := newCanaries().found([]byte("102-45-6002"), nil, sql); len(found) == 0 {
		t.Error("another canary was not found")
	}
}

func TestARowThatNeedsAnotherGetsIt(t *testing.T) {
	for sql, want := range map[string]string{
		"FETCH ALL FROM c1":                "BEGIN; DECLARE c1 CURSOR FOR SELECT * FROM customers",
		"EXECUTE p1(1)":                    "PREPARE p1(int) AS SELECT ssn FROM customers WHERE id = $1",
		"EXECUTE p1":                       "PREPARE p1 AS SELECT ssn FROM customers",
		"CREATE TABLE z AS EXECUTE p1(1)":  "PREPARE p1(int) AS SELECT ssn FROM customers WHERE id = $1",
		`RELEASE SAVEPOINT "s1"`:           `BEGIN; SAVEPOINT "s1"`,
		"LOCK TABLE t":                     "BEGIN",
		"SELECT 1":                         "",
		"PREPARE p2(int) AS SELECT 1":      "",
		"DECLARE c CURSOR FOR SELECT 1":    "BEGIN",
		"EXPLAIN ANALYZE EXECUTE p1 ( 1 )": "PREPARE p1(int) AS SELECT ssn FROM customers WHERE id = $1",
	} {
		if got := strings.Join(prelude(sql), "; "); got != want {
			t.Errorf("before %q: %q; want %q", sql, got, want)
		}
	}
}
