package explain_test

import (
	"bytes"
	"testing"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/local/explain"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// atSource are the same manifests with all masks at the source.
func atSource(t *testing.T, database string) local.Options {
	t.Helper()
	o := options(t, database)
	masks := o.Set.Policies[0].Spec.Masks
	for i := range masks {
		masks[i].Mode = v1alpha1.MaskAtSource
	}
	return o
}

func TestAnExplanationShowsWhatRunsWhereMasksAreAtTheSource(t *testing.T) {
	source := open(t, atSource(t, postgrestest.Shared(t).NewDatabase(t, shopSQL)))
	for name, sql := range map[string]string{
		"source":         "select c.id, email, born, upper(ssn) from customers c where ssn like '0%' order by c.id",
		"source-refused": "select ctid, ssn from customers where id = 1",
		"source-grouped": "select name, count(*) from customers where id < 9 group by id",
	} {
		t.Run(name, func(t *testing.T) {
			report, err := explain.Run(t.Context(), source, sql)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := report.Write(&text, false); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", "-- "+sql+"\n"+text.String())
		})
	}
}

// The whole way from a manifest: policy, bundle, decision, statement and what a client gets.
func TestMasksAtTheSourceHoldFromManifestToClient(t *testing.T) {
	proxy, err := local.Start(t.Context(), atSource(t, postgrestest.Shared(t).NewDatabase(t, shopSQL)))
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	conn := connect(t, proxy.Endpoints()[0].ConnectionString())
	for sql, want := range map[string]string{
		"select ssn || email || born from customers where id = 1":               "********@example.org1815-01-01",
		"select count(*) from customers where ssn = '078-05-1120' and id = 1":   "0",
		"select count(*) from customers where born = '1815-01-01' limit 1":      "1",
		"select string_agg(tax, ',') from contacts where tax is not null":       "*****",
		"select (select min(ssn) from customers) from customers group by email": "*****",
	} {
		r := conn.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != want {
			t.Errorf("%s: %q, %v; want %s", sql, r.Rows, r.Err, want)
		}
	}
}
