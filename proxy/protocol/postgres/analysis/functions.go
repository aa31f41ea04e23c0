package analysis

import (
	_ "embed"
	"strings"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// knownText lists the functions of pg_catalog that compute from their arguments
// or read nothing but harmless state, one name a line. It is an allow-list: a
// name that is in neither list is unknown code.
// TestEveryFunctionOfTheServerIsClassified regenerates it with -update.
//
//go:embed functions_known.txt
var knownText string

var knownFunctions = sync.OnceValue(func() map[string]bool { return wordSet(knownText + newerFunctions) })

// newerFunctions are pure functions that servers after PostgreSQL 15 have.
const newerFunctions = `
	any_value array_reverse array_sample array_shuffle array_sort casefold crc32 crc32c date_add date_subtract erf erfc
	gamma lgamma json_array json_object json_scalar json_serialize pg_get_acl pg_input_error_info pg_input_is_valid
	random_normal system_user to_bin to_oct unicode_assigned uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7
	xmltext json_array_agg_strict bit_count`

// danger is what a dangerous function does.
type danger struct {
	feature string
	// anywhere: known by its name in any schema, as contrib modules are installed.
	anywhere bool
}

// dangerous classifies functions by name. "*" stands for any run of characters.
var dangerous = func() map[string]danger {
	table := map[string]danger{}
	for _, group := range []struct {
		feature  string
		anywhere bool
		names    string
	}{
		{File, false, `pg_read_file pg_read_file_old pg_read_binary_file pg_stat_file pg_ls_dir pg_ls_logdir pg_ls_waldir
			pg_ls_tmpdir pg_ls_archive_statusdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir`},
		{File, true, `pg_file_write pg_file_read pg_file_rename pg_file_unlink pg_file_sync pg_file_length
			pg_logdir_ls get_raw_page page_header heap_page_items heap_page_item_attrs bt_metap bt_page_stats
			bt_multi_page_stats bt_page_items tuple_data_split heap_tuple_infomask_flags fsm_page_contents brin_page_type
			brin_metapage_info brin_revmap_data brin_page_items gin_metapage_info gin_page_opaque_info gin_leafpage_items
			gist_page_opaque_info gist_page_items gist_page_items_bytea hash_page_type hash_page_stats hash_page_items
			hash_bitmap_info hash_metapage_info page_checksum`},
		{LargeObject, false, `lo_* loread lowrite`},
		{DynamicSQL, false, `query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema
			table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema
			schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema ts_stat`},
		{DynamicSQL, true, `connectby crosstab crosstab2 crosstab3 crosstab4 crosstabn xpath_table xslt_process
			plpgsql_inline_handler plperl_inline_handler plpython3_inline_handler pltcl_inline_handler`},
		{ForeignData, true, `dblink* postgres_fdw_* http http_*`},
		{Replication, false, `pg_logical_slot_* pg_create_logical_replication_slot pg_create_physical_replication_slot
			pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_drop_replication_slot
			pg_replication_slot_advance pg_replication_origin_create pg_replication_origin_drop
			pg_replication_origin_session_setup pg_replication_origin_session_reset pg_replication_origin_xact_setup
			pg_replication_origin_xact_reset pg_replication_origin_advance pg_sync_replication_slots`},
		{Notify, false, `pg_notify`},
		{SideEffect, false, `setval pg_logical_emit_message brin_summarize_new_values brin_summarize_range
			brin_desummarize_range gin_clean_pending_list pg_extension_config_dump pg_clear_* pg_restore_*_stats
			pg_set_*_stats`},
		{Lock, false, `pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
			pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
			pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all`},
		{ServerControl, false, `pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile
			pg_rotate_logfile_old pg_switch_wal pg_promote pg_create_restore_point pg_backup_start pg_backup_stop
			pg_start_backup pg_stop_backup pg_wal_replay_pause pg_wal_replay_resume pg_import_system_collations
			pg_log_backend_memory_contexts pg_log_standby_snapshot pg_stat_reset pg_stat_reset_* pg_stop_making_pinned_objects
			pg_nextoid binary_upgrade_*`},
		{SecretCatalog, false, `pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_wal_receiver pg_hba_file_rules
			pg_ident_file_mappings pg_show_all_file_settings pg_prepared_statement pg_cursor pg_mcv_list_items
			pg_get_backend_memory_contexts pg_stat_get_progress_info_with_query`},
		{SecretCatalog, true, `pg_stat_statements pg_stat_statements_info pgrowlocks pg_buffercache_pages`},
	} {
		for _, name := range strings.Fields(group.names) {
			table[name] = danger{group.feature, group.anywhere}
		}
	}
	return table
}()

// dangerOf looks a function up, first by its own name, then by the entries that
// end in "*" or hold one.
func dangerOf(name string) (danger, bool) {
	if d, ok := dangerous[name]; ok {
		return d, true
	}
	for _, f := range families {
		if len(name) >= len(f.head)+len(f.tail) && strings.HasPrefix(name, f.head) && strings.HasSuffix(name, f.tail) {
			return f.danger, true
		}
	}
	return danger{}, false
}

// family is an entry of dangerous with a "*" in it.
type family struct {
	head, tail string
	danger
}

var families = func() (list []family) {
	for pattern, d := range dangerous {
		if head, tail, star := strings.Cut(pattern, "*"); star {
			list = append(list, family{head, tail, d})
		}
	}
	return list
}()

// sinkFunctions store or transmit an argument, or take a time that depends on it,
// without being dangerous in themselves.
var sinkFunctions = wordSet(`setseed pg_sleep pg_sleep_for pg_sleep_until nextval set_config`)

// funcName splits a call's name. The schema is empty for an unqualified one.
func funcName(call *pg.FuncCall) (schema, name string) {
	parts := stringList(call.GetFuncname())
	if len(parts) == 0 {
		return "", ""
	}
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	return schema, parts[len(parts)-1]
}

// call classifies a function call by its name.
func (a *analyzer) call(call *pg.FuncCall, found *inventory) {
	schema, name := funcName(call)
	written := name
	if schema != "" {
		written = schema + "." + name
	}
	if a.trusted[written] {
		a.functions[written] = true
		return
	}
	if schema == "" && a.fieldSelection(call, name, found) {
		return
	}
	if strings.HasPrefix(name, "pg_sleep") {
		a.sleeps = true
	}
	builtin := schema == "pg_catalog" || schema == "" && !a.cat.UserFunction(name)
	d, isDangerous := dangerOf(name)
	switch {
	case isDangerous && (builtin || d.anywhere):
		a.feature(d.feature, name+"()")
	case schema == "net" && strings.HasPrefix(name, "http"):
		a.feature(ForeignData, written+"()")
	case builtin && name == "set_config":
		a.setConfig(call)
	case builtin && runsText(call, name):
		a.feature(DynamicSQL, "ts_rewrite() with a query text")
	case builtin && (knownFunctions()[name] || len(call.GetArgs()) == 1 && builtinTypes[name]): // "text(x)" casts
	case schema == "information_schema" && strings.HasPrefix(name, "_pg_"):
	case a.cat.Extended(name) && !a.cat.UserFunction(name):
	case !a.cat.UserFunction(name) && a.absentFunction(call, schema, name):
		return
	default:
		a.feature(UnknownFunction, "the function "+written+"()")
	}
	if builtin && schema == "" && (isDangerous || knownFunctions()[name]) {
		written = "pg_catalog." + name
	}
	a.functions[written] = true
}

// vouched reports whether a call's result carries nothing but what its arguments
// carry. Whatever it is that the inventory reported as dangerous, does not.
func (a *analyzer) vouched(schema, name string) bool {
	if a.trusted[name] && schema == "" || a.trusted[schema+"."+name] {
		return true
	}
	if a.cat.UserFunction(name) && schema != "pg_catalog" {
		return false
	}
	if d, ok := dangerOf(name); ok {
		return d.feature == SideEffect || d.feature == Lock || d.feature == Notify || d.feature == ServerControl
	}
	return schema != "net" && (knownFunctions()[name] || name == "set_config" || a.cat.Extended(name) || schema == "information_schema")
}

// fieldSelection recognizes "ssn(c)", which PostgreSQL reads as "c.ssn" where no
// such function exists: one plain argument, and a column of that name.
func (a *analyzer) fieldSelection(call *pg.FuncCall, name string, found *inventory) bool {
	if len(call.GetArgs()) != 1 || call.GetAggOrder() != nil || call.GetAggFilter() != nil || call.GetOver() != nil ||
		call.GetAggStar() || call.GetAggDistinct() || call.GetAggWithinGroup() || call.GetFuncVariadic() {
		return false
	}
	if a.cat.UserFunction(name) || knownFunctions()[name] {
		return false
	}
	if _, isDangerous := dangerOf(name); isDangerous || name == "set_config" {
		return false
	}
	for _, rv := range found.relations {
		for _, r := range a.cat.Named(rv.GetRelname()) {
			if r.Column(name) != nil {
				return true
			}
		}
	}
	return false
}

func trustedNames(list []string) map[string]bool {
	names := map[string]bool{}
	for _, entry := range list {
		name, _, _ := strings.Cut(entry, "(")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		names[name] = true
		if _, bare, qualified := strings.Cut(name, "."); qualified {
			names[bare] = true // reached through the search path
		}
	}
	return names
}
