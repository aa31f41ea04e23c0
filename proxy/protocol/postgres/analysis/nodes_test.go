package analysis

import (
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// refused are the parser's message types that make a statement not understood, by
// the reason why. Each type of the protobuf is either here or in nodes.
var refused = map[string]string{
	"around the tree, not in it":                                                   "ParseResult RawStmt ScanResult ScanToken",
	"lists of numbers, which only the planner makes":                               "OidList IntList",
	"made by the parse analysis from a Query's expressions: a raw tree has names":  "Var Param Aggref WindowFunc SubscriptingRef FuncExpr OpExpr DistinctExpr NullIfExpr ScalarArrayOpExpr RowCompareExpr ArrayExpr FieldSelect FieldStore RelabelType CoerceViaIO ArrayCoerceExpr ConvertRowtypeExpr CollateExpr CaseTestExpr CoerceToDomain CoerceToDomainValue NextValueExpr InferenceElem JsonConstructorExpr TableFunc",
	"made by the planner":                                                          "SubPlan AlternativeSubPlan",
	"parts of an analyzed Query, which a raw tree has as clauses of its statement": "Query TargetEntry RangeTblRef FromExpr OnConflictExpr RangeTblEntry RTEPermissionInfo RangeTblFunction TableSampleClause WithCheckOption SortGroupClause WindowClause RowMarkClause MergeAction SetOperationStmt",
	"PL/pgSQL's assignment, which the SQL grammar has only in another mode":        "PLAssignStmt",
	"arguments of DO and CALL inside the server":                                   "InlineCodeBlock CallContext",
}

func messages() protoreflect.MessageDescriptors { return pg.File_pg_query_proto.Messages() }

func TestEveryNodeOfTheParserIsUnderstoodOrRefusedForAReason(t *testing.T) {
	reasons := map[string]string{}
	for reason, names := range refused {
		for name := range wordSet(names) {
			reasons[name] = reason
		}
	}
	present := map[string]bool{}
	for i := range messages().Len() {
		name := string(messages().Get(i).Name())
		present[name] = true
		switch {
		case nodes[name] && reasons[name] != "":
			t.Errorf("%s is both understood and refused", name)
		case !nodes[name] && reasons[name] == "":
			t.Errorf("%s is neither understood nor refused", name)
		}
	}
	for name := range nodes {
		if !present[name] {
			t.Errorf("the parser has no %s", name)
		}
	}
	for name := range reasons {
		if !present[name] {
			t.Errorf("the parser has no %s", name)
		}
	}
}

func TestANodeThatIsNotUnderstoodMakesItsStatementNotUnderstood(t *testing.T) {
	column := &pg.Node{Node: &pg.Node_Var{Var: &pg.Var{Varno: 1, Varattno: 3}}}
	target := &pg.Node{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: column}}}
	query := &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{Op: pg.SetOperation_SETOP_NONE, TargetList: []*pg.Node{target}}}}
	a := &analyzer{cat: tagged(), session: newSession(nil)}
	if s := a.analyze(query); s.Kind != "" || !s.Touches || len(s.Derived) == 0 {
		t.Errorf("kind %q, touches %v, carries %v", s.Kind, s.Touches, s.Derived)
	}
}

// tagged is the smallest catalog that has something to protect.
func tagged() *catalog.Snapshot {
	return catalog.New(1, catalog.Content{SearchPath: []string{"pg_catalog", "public"}, Relations: []catalog.Relation{
		{OID: 1, Schema: "public", Name: "t", Kind: 'r', Columns: []catalog.Column{{Name: "a", Num: 1, TypeOID: 25, Tags: []string{"pii/ssn"}}}},
	}})
}

// statements has one statement of every kind that PostgreSQL 16's grammar has, by
// the message that the parser makes of it.
var statements = []struct{ message, text, kind string }{
	{"SelectStmt", `SELECT a FROM t`, KindSelect},
	{"InsertStmt", `INSERT INTO t VALUES ('x')`, KindInsert},
	{"UpdateStmt", `UPDATE t SET a = 'x'`, KindUpdate},
	{"DeleteStmt", `DELETE FROM t`, KindDelete},
	{"MergeStmt", `MERGE INTO t USING t s ON t.a = s.a WHEN MATCHED THEN DELETE`, KindMerge},
	{"CopyStmt", `COPY t TO STDOUT`, KindCopyOut},
	{"ExplainStmt", `EXPLAIN SELECT 1`, KindExplain},
	{"PrepareStmt", `PREPARE p AS SELECT 1`, KindSelect},
	{"ExecuteStmt", `EXECUTE p`, ""}, // of nothing known
	{"DeallocateStmt", `DEALLOCATE p`, KindSession},
	{"DeclareCursorStmt", `DECLARE c CURSOR FOR SELECT 1`, KindSelect},
	{"FetchStmt", `FETCH c`, ""},
	{"ClosePortalStmt", `CLOSE c`, KindSession},
	{"TransactionStmt", `BEGIN`, KindTransaction},
	{"VariableSetStmt", `SET application_name = 'x'`, KindSession},
	{"VariableShowStmt", `SHOW all`, KindSession},
	{"DiscardStmt", `DISCARD ALL`, KindSession},
	{"ListenStmt", `LISTEN c`, KindSession},
	{"UnlistenStmt", `UNLISTEN *`, KindSession},
	{"NotifyStmt", `NOTIFY c`, KindSession},
	{"LockStmt", `LOCK TABLE t`, KindSession},
	{"LoadStmt", `LOAD 'x'`, KindSession},
	{"ConstraintsSetStmt", `SET CONSTRAINTS ALL DEFERRED`, KindSession},
	{"CheckPointStmt", `CHECKPOINT`, KindMaintenance},
	{"VacuumStmt", `VACUUM t`, KindMaintenance},
	{"ClusterStmt", `CLUSTER t`, KindMaintenance},
	{"ReindexStmt", `REINDEX TABLE t`, KindMaintenance},
	{"RefreshMatViewStmt", `REFRESH MATERIALIZED VIEW t`, KindMaintenance},
	{"TruncateStmt", `TRUNCATE t`, KindTruncate},
	{"CallStmt", `CALL f()`, KindDDL},
	{"DoStmt", `DO 'BEGIN END'`, KindDDL},
	{"GrantStmt", `GRANT SELECT ON t TO x`, KindGrant},
	{"GrantRoleStmt", `GRANT x TO y`, KindGrant},
	{"AlterDefaultPrivilegesStmt", `ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x`, KindGrant},
	{"CreateRoleStmt", `CREATE ROLE x`, KindGrant},
	{"AlterRoleStmt", `ALTER ROLE x SUPERUSER`, KindGrant},
	{"AlterRoleSetStmt", `ALTER ROLE x SET work_mem = 1`, KindDDL},
	{"DropRoleStmt", `DROP ROLE x`, KindGrant},
	{"ReassignOwnedStmt", `REASSIGN OWNED BY x TO y`, KindGrant},
	{"DropOwnedStmt", `DROP OWNED BY x`, KindGrant},
	{"AlterOwnerStmt", `ALTER SCHEMA s OWNER TO x`, KindGrant},
	{"SecLabelStmt", `SECURITY LABEL ON TABLE t IS 'x'`, KindGrant},
	{"CreatePolicyStmt", `CREATE POLICY p ON t`, KindGrant},
	{"AlterPolicyStmt", `ALTER POLICY p ON t TO x`, KindGrant},
	{"AlterSystemStmt", `ALTER SYSTEM SET work_mem = 1`, KindDDL},
	{"CreatedbStmt", `CREATE DATABASE d`, KindDDL},
	{"DropdbStmt", `DROP DATABASE d`, KindDDL},
	{"AlterDatabaseStmt", `ALTER DATABASE d WITH CONNECTION LIMIT 1`, KindDDL},
	{"AlterDatabaseSetStmt", `ALTER DATABASE d SET work_mem = 1`, KindDDL},
	{"AlterDatabaseRefreshCollStmt", `ALTER DATABASE d REFRESH COLLATION VERSION`, KindDDL},
	{"CreateTableSpaceStmt", `CREATE TABLESPACE s LOCATION '/x'`, KindDDL},
	{"DropTableSpaceStmt", `DROP TABLESPACE s`, KindDDL},
	{"AlterTableSpaceOptionsStmt", `ALTER TABLESPACE s SET (seq_page_cost = 1)`, KindDDL},
	{"AlterTableMoveAllStmt", `ALTER TABLE ALL IN TABLESPACE s SET TABLESPACE u`, KindDDL},
	{"CreateStmt", `CREATE TABLE n (a int)`, KindDDL},
	{"CreateTableAsStmt", `CREATE TABLE n AS SELECT 1`, KindDDL},
	{"ViewStmt", `CREATE VIEW n AS SELECT 1`, KindDDL},
	{"IndexStmt", `CREATE INDEX ON t (a)`, KindDDL},
	{"AlterTableStmt", `ALTER TABLE t ADD b int`, KindDDL},
	{"ReplicaIdentityStmt", `ALTER TABLE t REPLICA IDENTITY FULL`, KindDDL},
	{"RenameStmt", `ALTER TABLE t RENAME TO u`, KindDDL},
	{"AlterObjectSchemaStmt", `ALTER TABLE t SET SCHEMA s`, KindDDL},
	{"AlterObjectDependsStmt", `ALTER INDEX i DEPENDS ON EXTENSION x`, KindDDL},
	{"DropStmt", `DROP TABLE t`, KindDDL},
	{"CommentStmt", `COMMENT ON TABLE t IS 'x'`, KindDDL},
	{"CreateSchemaStmt", `CREATE SCHEMA s`, KindDDL},
	{"CreateSeqStmt", `CREATE SEQUENCE q`, KindDDL},
	{"AlterSeqStmt", `ALTER SEQUENCE q RESTART`, KindDDL},
	{"CreateStatsStmt", `CREATE STATISTICS s ON a, b FROM t`, KindDDL},
	{"AlterStatsStmt", `ALTER STATISTICS s SET STATISTICS 1`, KindDDL},
	{"CreateDomainStmt", `CREATE DOMAIN d AS int`, KindDDL},
	{"AlterDomainStmt", `ALTER DOMAIN d DROP DEFAULT`, KindDDL},
	{"CreateEnumStmt", `CREATE TYPE e AS ENUM ('a')`, KindDDL},
	{"AlterEnumStmt", `ALTER TYPE e ADD VALUE 'b'`, KindDDL},
	{"CreateRangeStmt", `CREATE TYPE r AS RANGE (subtype = int4)`, KindDDL},
	{"CompositeTypeStmt", `CREATE TYPE c AS (a int)`, KindDDL},
	{"AlterTypeStmt", `ALTER TYPE c SET (storage = plain)`, KindDDL},
	{"DefineStmt", `CREATE COLLATION c FROM "C"`, KindDDL},
	{"AlterCollationStmt", `ALTER COLLATION c REFRESH VERSION`, KindDDL},
	{"CreateConversionStmt", `CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f`, KindDDL},
	{"AlterTSConfigurationStmt", `ALTER TEXT SEARCH CONFIGURATION c DROP MAPPING FOR word`, KindDDL},
	{"AlterTSDictionaryStmt", `ALTER TEXT SEARCH DICTIONARY d (x = y)`, KindDDL},
	{"CreateFunctionStmt", `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, KindDDL},
	{"AlterFunctionStmt", `ALTER FUNCTION f() STRICT`, KindDDL},
	{"ReturnStmt", `CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1`, KindDDL}, // only as a body
	{"CreateTrigStmt", `CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()`, KindDDL},
	{"CreateEventTrigStmt", `CREATE EVENT TRIGGER x ON sql_drop EXECUTE FUNCTION f()`, KindDDL},
	{"AlterEventTrigStmt", `ALTER EVENT TRIGGER x DISABLE`, KindDDL},
	{"RuleStmt", `CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING`, KindDDL},
	{"CreateCastStmt", `CREATE CAST (int AS text) WITH INOUT`, KindDDL},
	{"CreateTransformStmt", `CREATE TRANSFORM FOR int LANGUAGE l (FROM SQL WITH FUNCTION f(internal))`, KindDDL},
	{"CreatePLangStmt", `CREATE LANGUAGE l HANDLER f`, KindDDL},
	{"CreateOpClassStmt", `CREATE OPERATOR CLASS o FOR TYPE int USING btree AS STORAGE int`, KindDDL},
	{"CreateOpFamilyStmt", `CREATE OPERATOR FAMILY o USING btree`, KindDDL},
	{"AlterOpFamilyStmt", `ALTER OPERATOR FAMILY o USING btree DROP OPERATOR 1 (int, int)`, KindDDL},
	{"AlterOperatorStmt", `ALTER OPERATOR + (int, int) SET (RESTRICT = NONE)`, KindDDL},
	{"CreateAmStmt", `CREATE ACCESS METHOD m TYPE INDEX HANDLER f`, KindDDL},
	{"CreateExtensionStmt", `CREATE EXTENSION x`, KindDDL},
	{"AlterExtensionStmt", `ALTER EXTENSION x UPDATE`, KindDDL},
	{"AlterExtensionContentsStmt", `ALTER EXTENSION x ADD TABLE t`, KindDDL},
	{"CreateFdwStmt", `CREATE FOREIGN DATA WRAPPER w`, KindDDL},
	{"AlterFdwStmt", `ALTER FOREIGN DATA WRAPPER w NO HANDLER`, KindDDL},
	{"CreateForeignServerStmt", `CREATE SERVER s FOREIGN DATA WRAPPER w`, KindDDL},
	{"AlterForeignServerStmt", `ALTER SERVER s VERSION '1'`, KindDDL},
	{"CreateForeignTableStmt", `CREATE FOREIGN TABLE n (a int) SERVER s`, KindDDL},
	{"CreateUserMappingStmt", `CREATE USER MAPPING FOR x SERVER s`, KindDDL},
	{"AlterUserMappingStmt", `ALTER USER MAPPING FOR x SERVER s OPTIONS (SET a 'b')`, KindDDL},
	{"DropUserMappingStmt", `DROP USER MAPPING FOR x SERVER s`, KindDDL},
	{"ImportForeignSchemaStmt", `IMPORT FOREIGN SCHEMA f FROM SERVER s INTO public`, KindDDL},
	{"CreatePublicationStmt", `CREATE PUBLICATION p FOR TABLE t`, KindDDL},
	{"AlterPublicationStmt", `ALTER PUBLICATION p SET (publish = 'insert')`, KindDDL},
	{"CreateSubscriptionStmt", `CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p`, KindDDL},
	{"AlterSubscriptionStmt", `ALTER SUBSCRIPTION s DISABLE`, KindDDL},
	{"DropSubscriptionStmt", `DROP SUBSCRIPTION s`, KindDDL},
}

// holdsMessage reports whether a message of that type is anywhere in a tree.
func holdsMessage(m protoreflect.Message, name string) bool {
	if string(m.Descriptor().Name()) == name {
		return true
	}
	found := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				found = found || holdsMessage(v.List().Get(i).Message(), name)
			}
		default:
			found = found || holdsMessage(v.Message(), name)
		}
		return !found
	})
	return found
}

func TestEveryKindOfStatementIsKnown(t *testing.T) {
	listed := map[string]bool{}
	for _, s := range statements {
		listed[s.message] = true
		tree, err := pg.Parse(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.text, err)
			continue
		}
		if !holdsMessage(tree.ProtoReflect(), s.message) {
			t.Errorf("%s holds no %s", s.text, s.message)
		}
		result, err := Analyze(s.text, nil, tagged(), Options{})
		if err != nil || len(result.Statements) != 1 || result.Statements[0].Kind != s.kind {
			t.Errorf("%s: %+v, %v", s.text, result, err)
		}
	}
	for i := range messages().Len() {
		name := string(messages().Get(i).Name())
		if nodes[name] && strings.HasSuffix(name, "Stmt") && !listed[name] {
			t.Errorf("no statement of kind %s is tested", name)
		}
	}
}
