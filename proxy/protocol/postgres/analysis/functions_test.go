package analysis

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

func TestWhatAFunctionNeedsIsAFeature(t *testing.T) {
	for name, feature := range map[string]string{
		"pg_read_file": File, "lo_get": LargeObject, "query_to_xml": DynamicSQL, "dblink": ForeignData,
		"pg_logical_slot_get_changes": Replication, "pg_notify": Notify, "setval": SideEffect,
		"pg_reload_conf": ServerControl, "pg_hba_file_rules": SecretCatalog, "sepgsql_setcon": Identity,
	} {
		if d, ok := functions.DangerOf(name); !ok || string(d.Class) != feature {
			t.Errorf("%s is %q, not %s", name, d.Class, feature)
		}
	}
	for _, class := range functions.Classes() {
		if class.Dangerous() && effects[string(class)] == "" {
			t.Errorf("nobody can allow the feature %s", class)
		}
	}
}
