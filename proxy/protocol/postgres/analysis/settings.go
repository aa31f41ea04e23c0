package analysis

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// harmlessSettings may take any value: they change limits, formats and plans, not
// what a statement means, who runs it, or what the server tells or loads.
var harmlessSettings = wordSet(`
	application_name datestyle timezone intervalstyle extra_float_digits bytea_output xmloption xmlbinary lc_messages
	lc_monetary lc_numeric lc_time statement_timeout lock_timeout idle_in_transaction_session_timeout
	idle_session_timeout transaction_timeout deadlock_timeout tcp_keepalives_idle tcp_keepalives_interval
	tcp_keepalives_count tcp_user_timeout client_connection_check_interval
	work_mem maintenance_work_mem hash_mem_multiplier temp_buffers temp_file_limit logical_decoding_work_mem
	effective_cache_size effective_io_concurrency maintenance_io_concurrency random_page_cost seq_page_cost
	cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost parallel_setup_cost parallel_tuple_cost
	min_parallel_table_scan_size min_parallel_index_scan_size max_parallel_workers max_parallel_workers_per_gather
	max_parallel_maintenance_workers parallel_leader_participation jit jit_above_cost jit_inline_above_cost
	jit_optimize_above_cost jit_expressions jit_tuple_deforming geqo geqo_threshold geqo_effort geqo_pool_size
	geqo_generations geqo_selection_bias geqo_seed from_collapse_limit join_collapse_limit cursor_tuple_fraction
	default_statistics_target constraint_exclusion plan_cache_mode recursive_worktable_factor
	default_transaction_isolation default_transaction_read_only default_transaction_deferrable transaction_isolation
	transaction_read_only transaction_deferrable synchronous_commit commit_delay commit_siblings
	gin_fuzzy_search_limit gin_pending_list_limit default_text_search_config default_tablespace temp_tablespaces
	default_table_access_method default_toast_compression check_function_bodies synchronize_seqscans
	quote_all_identifiers array_nulls escape_string_warning track_activities seed row_security
	restrict_nonsystem_relation_kind
	vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_hit vacuum_cost_page_miss vacuum_cost_page_dirty
	vacuum_freeze_min_age vacuum_freeze_table_age vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age
	backend_flush_after`)

// safeValues are settings that may take these values alone.
var safeValues = map[string]map[string]bool{
	"client_encoding":             wordSet("utf8 utf-8 unicode sql_ascii"),
	"standard_conforming_strings": wordSet("on true yes 1 t y"),
	"backslash_quote":             wordSet("off false no 0 f n safe_encoding"),
	"client_min_messages":         wordSet("notice warning error"),
}

// parserSettings are those of which an unsafe value makes server and proxy read
// the same text differently.
var parserSettings = wordSet("client_encoding standard_conforming_strings backslash_quote transform_null_equals")

// setting is one change of a setting: SET, RESET, set_config() or a startup
// parameter.
type setting struct {
	name   string
	values []string // of a list, such as search_path
	// constant: values are all there is; otherwise the value is computed.
	constant bool
	// reset: back to the session's default, which the proxy has pinned or checked.
	reset bool
}

// set judges a change of a setting and tracks it.
func (a *analyzer) set(s setting) {
	name := strings.ToLower(s.name)
	construct := "SET " + name
	a.out.Effects = append(a.out.Effects, Effect{Kind: SetSetting, Name: name})
	switch {
	case name == "search_path":
		a.out.Effects = append(a.out.Effects, Effect{Kind: SetPath})
		if !s.reset && (!s.constant || !a.safePath(s.values)) {
			a.feature(UnsafeSetting, construct+" to anything but existing schemas")
		}
	case name == "role" || name == "session_authorization" || name == "is_superuser":
		a.feature(Identity, construct)
	case s.reset || harmlessSettings[name] || strings.HasPrefix(name, "enable_"):
	case safeValues[name] != nil && s.constant && len(s.values) == 1 && safeValues[name][strings.ToLower(s.values[0])]:
	case parserSettings[name]:
		a.feature(ParserSetting, construct)
	default:
		a.feature(UnsafeSetting, construct)
	}
}

// safePath reports whether a search_path names nothing but schemas that exist: a
// schema that does not exist yet could be made and filled later.
func (a *analyzer) safePath(values []string) bool {
	for _, value := range values {
		switch value {
		case "", "public", "$user", "pg_catalog", "pg_temp":
		default:
			if !a.cat.HasSchema(value) {
				return false
			}
		}
	}
	return true
}

func (a *analyzer) variableSet(n *pg.VariableSetStmt) {
	a.out.Kind = KindSession
	switch n.GetKind() {
	case pg.VariableSetKind_VAR_SET_VALUE:
		values, constant := constants(n.GetArgs())
		a.set(setting{name: n.GetName(), values: values, constant: constant})
	case pg.VariableSetKind_VAR_SET_DEFAULT, pg.VariableSetKind_VAR_RESET:
		a.set(setting{name: n.GetName(), reset: true})
	case pg.VariableSetKind_VAR_RESET_ALL:
		a.out.Effects = append(a.out.Effects, Effect{Kind: SetPath})
	case pg.VariableSetKind_VAR_SET_MULTI:
		// SET TRANSACTION, SET SESSION CHARACTERISTICS, SET TRANSACTION SNAPSHOT
		if strings.HasPrefix(n.GetName(), "TRANSACTION") {
			a.out.Kind = KindTransaction
		}
	default: // SET … FROM CURRENT exists in CREATE FUNCTION alone
		a.feature(UnsafeSetting, "SET "+n.GetName())
	}
}

// constants returns the values of a list of constants, and whether they all are.
func constants(nodes []*pg.Node) (values []string, all bool) {
	for _, n := range nodes {
		if cast := n.GetTypeCast(); cast != nil { // SET TimeZone TO INTERVAL '…'
			n = cast.GetArg()
		}
		c := n.GetAConst()
		switch v := c.GetVal().(type) {
		case *pg.A_Const_Sval:
			values = append(values, v.Sval.GetSval())
		case *pg.A_Const_Ival:
			values = append(values, strconv.Itoa(int(v.Ival.GetIval())))
		case *pg.A_Const_Fval:
			values = append(values, v.Fval.GetFval())
		case *pg.A_Const_Boolval:
			values = append(values, map[bool]string{true: "on", false: "off"}[v.Boolval.GetBoolval()])
		default:
			return nil, false
		}
	}
	return values, true
}

// setConfig judges set_config(name, value, local) as the SET that it is.
func (a *analyzer) setConfig(call *pg.FuncCall) {
	args := call.GetArgs()
	if len(args) < 2 || call.GetFuncVariadic() {
		a.feature(ParserSetting, "set_config() in an unusual form")
		return
	}
	for _, arg := range args {
		if arg.GetNamedArgExpr() != nil {
			a.feature(ParserSetting, "set_config() with named arguments")
			return
		}
	}
	name, constant := constants(args[:1])
	if call == a.rowSetting.call {
		name, constant = []string{a.rowSetting.name}, true
	}
	if !constant || len(name) != 1 {
		a.feature(ParserSetting, "set_config() of a setting whose name is computed")
		a.out.Effects = append(a.out.Effects, Effect{Kind: SetPath})
		return
	}
	values, constant := constants(args[1:2])
	if constant && strings.EqualFold(name[0], "search_path") {
		values = splitPath(values[0])
	}
	a.set(setting{name: name[0], values: values, constant: constant})
}

// rowSetting is a call of set_config() and the setting that it changes.
type rowSetting struct {
	call *pg.FuncCall
	name string
}

// settingOfRow recognizes SELECT set_config(name, …) FROM pg_settings WHERE name = 'constant', which every pg_dump sends: it is how a
// setting is changed only where the server has it.
func (a *analyzer) settingOfRow(n *pg.Node) rowSetting {
	s := n.GetSelectStmt()
	if len(s.GetTargetList()) != 1 || len(s.GetFromClause()) != 1 || s.GetWithClause() != nil || s.GetOp() != pg.SetOperation_SETOP_NONE {
		return rowSetting{}
	}
	call := s.GetTargetList()[0].GetResTarget().GetVal().GetFuncCall()
	rv, where := s.GetFromClause()[0].GetRangeVar(), s.GetWhereClause().GetAExpr()
	if call == nil || rv.GetAlias() != nil || !a.isSettings(rv) || !isName(where.GetLexpr()) || len(call.GetArgs()) == 0 || !isName(call.GetArgs()[0]) {
		return rowSetting{}
	}
	name := where.GetRexpr().GetAConst().GetSval().GetSval()
	if where.GetKind() != pg.A_Expr_Kind_AEXPR_OP || strings.Join(stringList(where.GetName()), ".") != "=" || name == "" {
		return rowSetting{}
	}
	return rowSetting{call: call, name: name}
}

// isSettings reports whether a name can mean nothing but the server's pg_settings.
func (a *analyzer) isSettings(rv *pg.RangeVar) bool {
	if rv.GetRelname() != "pg_settings" || rv.GetSchemaname() != "" && rv.GetSchemaname() != "pg_catalog" {
		return false
	}
	c := a.resolve(rv.GetSchemaname(), rv.GetRelname())
	for _, r := range c.relations {
		if r.Schema != "pg_catalog" {
			return false
		}
	}
	return !c.temp
}

// isName reports whether an expression is the bare column "name".
func isName(n *pg.Node) bool {
	fields := n.GetColumnRef().GetFields()
	return len(fields) == 1 && fields[0].GetString_().GetSval() == "name"
}

// splitPath splits the text form of a search_path.
func splitPath(text string) []string {
	var schemas []string
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if unquoted, found := strings.CutPrefix(part, `"`); found {
			part = strings.TrimSuffix(unquoted, `"`)
		} else {
			part = strings.ToLower(part)
		}
		schemas = append(schemas, part)
	}
	return schemas
}

// Setting returns the facts of a setting that a startup packet asks for (a
// parameter, or "-c name=value" in its options), as if it were a SET.
func Setting(name, value string, cat *catalog.Snapshot) *Statement {
	a := &analyzer{cat: cat, session: newSession(nil)}
	a.begin()
	a.out.Kind = KindSession
	values := []string{value}
	if strings.EqualFold(name, "search_path") {
		values = splitPath(value)
	}
	a.set(setting{name: name, values: values, constant: true})
	a.settle(&inventory{})
	return a.out
}
