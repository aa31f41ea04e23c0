package analysis_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestSettingANamedSequenceIsAnUpdateOfIt(t *testing.T) {
	for text, target := range map[string]string{
		`SELECT setval('orders', 5)`:                          "orders",
		`SELECT pg_catalog.setval('public.orders', 1, true)`:  "orders",
		`SELECT setval('"public"."orders"'::regclass, 5)`:     "orders",
		`SELECT setval('PUBLIC.Orders', max(id)) FROM orders`: "orders",
		`SELECT setval(pg_get_serial_sequence('"orders"','id'), coalesce(max("id"), 1), max("id") IS NOT null) FROM "orders"`: "orders",
	} {
		s := last(t, text, nil)
		if got := features(s); strings.Contains(got, "SideEffect") || strings.Contains(got, "Laundering") {
			t.Errorf("%s: %s", text, got)
		}
		found := false
		for _, inner := range s.Inner {
			for _, r := range inner.Resources {
				found = found || inner.Kind == "Update" && r.Name == target && r.Schema == "public" && r.Access == access.AccessWrite
			}
		}
		if !found {
			t.Errorf("%s: no update of %s in %+v", text, target, s.Inner)
		}
	}
}

func TestSettingASequenceThatIsNotNamedIsASideEffect(t *testing.T) {
	for _, text := range []string{
		`SELECT setval('no_such', 5)`, `SELECT setval($1, 5)`, `SELECT setval('ord' || 'ers', 5)`, `SELECT setval('"orders', 5)`,
		`SELECT setval('a.b.orders', 5)`, `SELECT setval('orders.', 5)`, `SELECT setval('', 5)`, `SELECT setval('"or""ders"', 5)`,
		`SELECT setval(pg_get_serial_sequence(name, 'id'), 5) FROM customers`, `SELECT setval('orders x', 5)`,
	} {
		if got := features(last(t, text, nil)); !strings.Contains(got, "SideEffect") {
			t.Errorf("%s: %q", text, got)
		}
	}
	for _, text := range []string{`SELECT setval('orders', ascii(ssn)) FROM customers`, `SELECT setval('orders', id, ssn > '1') FROM customers`} {
		if got := features(last(t, text, nil)); !strings.Contains(got, "Laundering") {
			t.Errorf("%s: %q", text, got)
		}
	}
}
