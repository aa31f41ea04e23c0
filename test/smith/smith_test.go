package main

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// forAWhile is how long a test lets sqlsmith run.
func forAWhile() time.Duration {
	if testing.Short() {
		return 3 * time.Second
	}
	return 20 * time.Second
}

func needSqlsmith(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sqlsmith"); err != nil {
		t.Skipf("NOT TESTED: %v", errMissing)
	}
}

func TestRandomStatementsLetNothingOut(t *testing.T) {
	needSqlsmith(t)
	var out bytes.Buffer
	report, err := smith(t.Context(), options{duration: forAWhile(), seed: 2, atLeast: 200}, &out)
	t.Log(out.String())
	if err == nil {
		err = report.bad()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestWithoutAProxyRandomStatementsLetValuesOut(t *testing.T) {
	needSqlsmith(t)
	var out bytes.Buffer
	report, err := smith(t.Context(), options{duration: forAWhile(), seed: 2, atLeast: 200, direct: true}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if report.findings["leak"] == 0 {
		t.Errorf("the bare server leaked nothing: either nothing protected is read, or it is not found\n%s", out.String())
	}
	if report.findings["out of step"]+report.findings["lost"]+report.findings["crash"] > 0 {
		t.Errorf("the bare server's conversations are not followed: %v", report.findings)
	}
}

func TestABadRunIsAnError(t *testing.T) {
	good := verdict{outcome: answered, accepted: true}
	unknown := verdict{outcome: denied, accepted: true, unknown: []string{"something"}}
	for name, test := range map[string]struct {
		add  []verdict
		want string
	}{
		"nothing seen":          {nil, "no statement"},
		"all well":              {[]verdict{good}, ""},
		"too much not known":    {[]verdict{good, unknown}, "50.00 %"},
		"a crash":               {[]verdict{good, {outcome: crashed}}, "crash"},
		"refused by server too": {[]verdict{good, {outcome: denied, unknown: []string{"x"}}}, ""},
	} {
		r := newReport()
		for _, v := range test.add {
			r.add(v)
		}
		err := r.bad()
		if err == nil {
			err = errors.New("")
		}
		if test.want == "" && err.Error() != "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
}
