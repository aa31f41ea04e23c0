package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// definition handles the DDL that remains: relations, types and the like. What
// it does not list is not understood.
func (a *analyzer) definition(n *pg.Node) {
	a.out.Kind = KindDDL
	switch v := n.GetNode().(type) {
	case *pg.Node_CreateStmt:
		a.createTable(v.CreateStmt)
	case *pg.Node_CreateTableAsStmt:
		a.createTableAs(v.CreateTableAsStmt)
	case *pg.Node_ViewStmt:
		a.createView(v.ViewStmt)
	case *pg.Node_CreateSeqStmt:
		a.created(v.CreateSeqStmt.GetSequence(), nil, "CREATE SEQUENCE")
	case *pg.Node_CreateSchemaStmt:
		for _, element := range v.CreateSchemaStmt.GetSchemaElts() {
			inner := a.nest(element)
			a.inner = append(a.inner, inner.Statement)
			a.out.Effects = append(a.out.Effects, inner.Effects...)
		}
	case *pg.Node_AlterTableStmt:
		a.alterTable(v.AlterTableStmt)
	case *pg.Node_RenameStmt:
		a.rename(v.RenameStmt)
	case *pg.Node_DropStmt:
		a.drop(v.DropStmt)
	case *pg.Node_IndexStmt, *pg.Node_CommentStmt, *pg.Node_CreateStatsStmt, *pg.Node_AlterStatsStmt, *pg.Node_AlterSeqStmt,
		*pg.Node_CreateEnumStmt, *pg.Node_AlterEnumStmt, *pg.Node_CreateRangeStmt, *pg.Node_CreateDomainStmt,
		*pg.Node_AlterDomainStmt, *pg.Node_AlterCollationStmt, *pg.Node_AlterTsconfigurationStmt,
		*pg.Node_AlterTsdictionaryStmt, *pg.Node_AlterObjectDependsStmt:
		a.out.Effects = append(a.out.Effects, Effect{Kind: DDL})
	case *pg.Node_CompositeTypeStmt:
		a.seen[v.CompositeTypeStmt.GetTypevar()] = true
		a.out.Effects = append(a.out.Effects, Effect{Kind: DDL})
	case *pg.Node_AlterObjectSchemaStmt:
		a.out.Effects = append(a.out.Effects, Effect{Kind: DDL, Alters: true})
	case *pg.Node_AlterTypeStmt:
		a.feature(Procedural, "ALTER TYPE with functions")
	default:
		a.out.Kind = ""
		return
	}
	a.useAll(n, access.AccessDefine)
}

// createTable is CREATE TABLE without a query. A copy of a protected relation's
// columns, or a relation that takes the name of one, would hold protected values
// without protection.
func (a *analyzer) createTable(s *pg.CreateStmt) {
	rv := s.GetRelation()
	for _, n := range s.GetTableElts() {
		like := n.GetTableLikeClause()
		if like == nil {
			continue
		}
		if a.relation(like.GetRelation(), access.AccessRead).all().protected() {
			a.launder("CREATE TABLE (LIKE a protected relation)")
		}
	}
	if a.inPlace(rv) || len(s.GetInhRelations()) > 0 {
		a.seen[rv] = true
		a.resource(a.newSchema(rv), rv.GetRelname(), access.AccessDefine, nil)
		a.out.Effects = append(a.out.Effects, Effect{Kind: DDL}, Effect{Kind: DropName, Name: rv.GetRelname()})
		return
	}
	a.created(rv, nil, "CREATE TABLE")
}

// inPlace reports whether a relation of that name is already where the new one
// would go, so that nothing is made, or the old one was dropped before and its
// classification holds for the new one.
func (a *analyzer) inPlace(rv *pg.RangeVar) bool {
	return rv.GetRelpersistence() != "t" && a.cat.Lookup(a.newSchema(rv), rv.GetRelname()) != nil
}

func (a *analyzer) createTableAs(s *pg.CreateTableAsStmt) {
	construct := "CREATE TABLE AS"
	if s.GetObjtype() == pg.ObjectType_OBJECT_MATVIEW {
		construct = "CREATE MATERIALIZED VIEW"
	}
	a.createFrom(s.GetInto().GetRel(), s.GetQuery(), construct)
}

func (a *analyzer) createView(s *pg.ViewStmt) {
	a.createFrom(s.GetView(), s.GetQuery(), "CREATE VIEW")
}

// createFrom is a relation made of a query or of a prepared statement.
func (a *analyzer) createFrom(rv *pg.RangeVar, query *pg.Node, construct string) {
	a.seen[rv] = true
	inner := a.nest(query)
	a.inner = append(a.inner, inner.Statement)
	tags := inner.Derived
	for _, o := range inner.Outputs {
		tags = catalog.Union(tags, o.Tags)
	}
	// A view that shows nothing protected may still fail with a protected value in
	// the error. Until the catalog knows it, it stays an unknown relation.
	if a.define(rv, tags, construct) && (construct != "CREATE VIEW" || !inner.Touches) {
		a.effect(CreateTemp, rv.GetRelname())
	}
}

// alterTable is ALTER TABLE and its relatives for views, indexes and types.
func (a *analyzer) alterTable(s *pg.AlterTableStmt) {
	for _, n := range s.GetCmds() {
		switch n.GetAlterTableCmd().GetSubtype() {
		case pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_DisableRowSecurity,
			pg.AlterTableType_AT_ForceRowSecurity, pg.AlterTableType_AT_NoForceRowSecurity:
			a.feature(Identity, "a change of row security")
		case pg.AlterTableType_AT_ChangeOwner:
			a.feature(Identity, "a change of owner")
		case pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_EnableAlwaysTrig, pg.AlterTableType_AT_EnableReplicaTrig,
			pg.AlterTableType_AT_DisableTrig, pg.AlterTableType_AT_EnableTrigAll, pg.AlterTableType_AT_DisableTrigAll,
			pg.AlterTableType_AT_EnableTrigUser, pg.AlterTableType_AT_DisableTrigUser, pg.AlterTableType_AT_EnableRule,
			pg.AlterTableType_AT_EnableAlwaysRule, pg.AlterTableType_AT_EnableReplicaRule, pg.AlterTableType_AT_DisableRule:
			a.feature(Procedural, "ALTER TABLE … ENABLE or DISABLE TRIGGER or RULE")
		case pg.AlterTableType_ALTER_TABLE_TYPE_UNDEFINED:
			a.opaque = true
		}
	}
	if s.GetObjtype() == pg.ObjectType_OBJECT_TYPE {
		a.seen[s.GetRelation()] = true
	}
	a.out.Effects = append(a.out.Effects, Effect{Kind: DropName, Name: s.GetRelation().GetRelname()}, Effect{Kind: DDL, Alters: true})
}

func (a *analyzer) rename(s *pg.RenameStmt) {
	switch s.GetRenameType() {
	case pg.ObjectType_OBJECT_ROLE:
		a.out.Kind = KindGrant
		a.feature(Identity, "a change of roles")
	case pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_TABLESPACE, pg.ObjectType_OBJECT_SCHEMA:
		a.feature(ServerControl, "a change of databases, tablespaces or schemas")
	case pg.ObjectType_OBJECT_FUNCTION, pg.ObjectType_OBJECT_PROCEDURE, pg.ObjectType_OBJECT_ROUTINE,
		pg.ObjectType_OBJECT_AGGREGATE, pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE,
		pg.ObjectType_OBJECT_LANGUAGE, pg.ObjectType_OBJECT_EVENT_TRIGGER:
		a.feature(Procedural, "a change of functions or triggers")
	case pg.ObjectType_OBJECT_POLICY:
		a.feature(Identity, "a change of row security")
	}
	a.out.Effects = append(a.out.Effects, Effect{Kind: DropName, Name: s.GetNewname()}, Effect{Kind: DDL, Alters: true})
	if s.GetRelation() != nil {
		a.effect(DropName, s.GetRelation().GetRelname())
	}
}

// dropped says what dropping an object of a type means beyond DDL.
var dropped = map[pg.ObjectType]string{
	pg.ObjectType_OBJECT_SCHEMA: ServerControl, pg.ObjectType_OBJECT_EXTENSION: Extension,
	pg.ObjectType_OBJECT_POLICY: Identity, pg.ObjectType_OBJECT_PUBLICATION: Replication,
	pg.ObjectType_OBJECT_FDW: ForeignData, pg.ObjectType_OBJECT_FOREIGN_SERVER: ForeignData,
	pg.ObjectType_OBJECT_FUNCTION: Procedural, pg.ObjectType_OBJECT_PROCEDURE: Procedural, pg.ObjectType_OBJECT_ROUTINE: Procedural,
	pg.ObjectType_OBJECT_AGGREGATE: Procedural, pg.ObjectType_OBJECT_OPERATOR: Procedural, pg.ObjectType_OBJECT_OPCLASS: Procedural,
	pg.ObjectType_OBJECT_OPFAMILY: Procedural, pg.ObjectType_OBJECT_CAST: Procedural, pg.ObjectType_OBJECT_TRANSFORM: Procedural,
	pg.ObjectType_OBJECT_LANGUAGE: Procedural, pg.ObjectType_OBJECT_TRIGGER: Procedural, pg.ObjectType_OBJECT_RULE: Procedural,
	pg.ObjectType_OBJECT_EVENT_TRIGGER: Procedural, pg.ObjectType_OBJECT_ACCESS_METHOD: Procedural,
}

func (a *analyzer) drop(s *pg.DropStmt) {
	if f := dropped[s.GetRemoveType()]; f != "" {
		a.feature(f, "DROP")
	}
	a.out.Effects = append(a.out.Effects, Effect{Kind: DDL, Alters: true})
	switch s.GetRemoveType() {
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_MATVIEW,
		pg.ObjectType_OBJECT_SEQUENCE, pg.ObjectType_OBJECT_FOREIGN_TABLE:
	default:
		return
	}
	for _, object := range s.GetObjects() {
		parts := stringList(object.GetList().GetItems())
		if len(parts) == 0 {
			continue
		}
		rv := &pg.RangeVar{Relname: parts[len(parts)-1]}
		if len(parts) > 1 {
			rv.Schemaname = parts[len(parts)-2]
		}
		a.use(rv, access.AccessDefine)
		a.effect(DropName, rv.GetRelname())
	}
}
