package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func (a *analyzer) effect(kind EffectKind, name string) {
	a.out.Effects = append(a.out.Effects, Effect{Kind: kind, Name: name})
}

// sessionStatement handles statements about the session itself and reports
// whether n is one.
func (a *analyzer) sessionStatement(n *pg.Node) bool {
	a.out.Kind = KindSession
	switch v := n.GetNode().(type) {
	case *pg.Node_TransactionStmt:
		a.transaction(v.TransactionStmt)
	case *pg.Node_VariableSetStmt:
		a.variableSet(v.VariableSetStmt)
	case *pg.Node_VariableShowStmt:
		a.out.ReturnsRows = true
	case *pg.Node_DeallocateStmt:
		if v.DeallocateStmt.GetName() == "" {
			a.effect(DeallocateAll, "")
		} else {
			a.effect(DeallocateName, v.DeallocateStmt.GetName())
		}
	case *pg.Node_ClosePortalStmt:
		if v.ClosePortalStmt.GetPortalname() == "" {
			a.effect(CloseAll, "")
		} else {
			a.effect(CloseCursor, v.ClosePortalStmt.GetPortalname())
		}
	case *pg.Node_DiscardStmt:
		a.discard(v.DiscardStmt)
	case *pg.Node_ListenStmt:
		a.effect(Listen, v.ListenStmt.GetConditionname())
	case *pg.Node_UnlistenStmt:
		name := v.UnlistenStmt.GetConditionname()
		if name == "" {
			name = "*"
		}
		a.effect(Unlisten, name)
	case *pg.Node_NotifyStmt:
		a.feature(Notify, "NOTIFY")
	case *pg.Node_ConstraintsSetStmt:
		for _, c := range v.ConstraintsSetStmt.GetConstraints() {
			a.seen[c.GetRangeVar()] = true // names of constraints, not of relations
		}
	case *pg.Node_LockStmt:
		a.lock(v.LockStmt)
	case *pg.Node_LoadStmt:
		a.feature(Extension, "LOAD")
	default:
		a.out.Kind = ""
		return false
	}
	return true
}

func (a *analyzer) transaction(t *pg.TransactionStmt) {
	a.out.Kind = KindTransaction
	kinds := map[pg.TransactionStmtKind]EffectKind{
		pg.TransactionStmtKind_TRANS_STMT_BEGIN: Begin, pg.TransactionStmtKind_TRANS_STMT_START: Begin,
		pg.TransactionStmtKind_TRANS_STMT_COMMIT: Commit, pg.TransactionStmtKind_TRANS_STMT_PREPARE: Commit,
		pg.TransactionStmtKind_TRANS_STMT_ROLLBACK: Rollback, pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT: Savepoint,
		pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO: RollbackTo, pg.TransactionStmtKind_TRANS_STMT_RELEASE: Release,
	}
	if kind := kinds[t.GetKind()]; kind != 0 {
		a.out.Effects = append(a.out.Effects, Effect{Kind: kind, Name: t.GetSavepointName(), Chain: t.GetChain()})
	}
	switch t.GetKind() {
	case pg.TransactionStmtKind_TRANS_STMT_PREPARE:
		a.feature(SideEffect, "PREPARE TRANSACTION")
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED, pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED:
		a.feature(SideEffect, "COMMIT PREPARED or ROLLBACK PREPARED")
		a.effect(DDL, "") // whatever was prepared may have been DDL
	case pg.TransactionStmtKind_TRANSACTION_STMT_KIND_UNDEFINED:
		a.opaque = true
	}
}

func (a *analyzer) discard(s *pg.DiscardStmt) {
	switch s.GetTarget() {
	case pg.DiscardMode_DISCARD_ALL:
		a.effect(DiscardAll, "")
		a.effect(SetPath, "")
	case pg.DiscardMode_DISCARD_TEMP:
		a.effect(DiscardTemp, "")
	}
}

// accessShareLock is the mode of a plain SELECT (lockdefs.h).
const accessShareLock = 1

func (a *analyzer) lock(s *pg.LockStmt) {
	how := access.AccessRead
	if s.GetMode() != accessShareLock {
		how = access.AccessDefine
		a.feature(Lock, "LOCK TABLE")
	}
	for _, n := range s.GetRelations() {
		a.useUtility(n.GetRangeVar(), how)
	}
}

// maintenance handles statements that move no data to the client and change no
// definition.
func (a *analyzer) maintenance(n *pg.Node) bool {
	a.out.Kind = KindMaintenance
	switch v := n.GetNode().(type) {
	case *pg.Node_VacuumStmt, *pg.Node_ClusterStmt, *pg.Node_ReindexStmt:
		a.useAll(n, access.AccessWrite)
		if r := n.GetReindexStmt(); r.GetName() != "" {
			a.feature(ServerControl, "REINDEX of a schema, database or system")
		}
	case *pg.Node_RefreshMatViewStmt:
		a.useAll(n, access.AccessWrite)
		a.out.Effects = append(a.out.Effects, Effect{Kind: DDL})
	case *pg.Node_CheckPointStmt:
		a.feature(ServerControl, "CHECKPOINT")
	case *pg.Node_TruncateStmt:
		a.out.Kind = KindTruncate
		for _, rel := range v.TruncateStmt.GetRelations() {
			a.useUtility(rel.GetRangeVar(), access.AccessWrite)
		}
	default:
		a.out.Kind = ""
		return false
	}
	return true
}

// useUtility records a relation that a statement opens as it runs.
func (a *analyzer) useUtility(rv *pg.RangeVar, how access.Access) {
	a.utility = true
	if a.absentRelation(rv, a.resolve(rv.GetSchemaname(), rv.GetRelname())) {
		a.seen[rv] = true
		return
	}
	a.use(rv, how)
}

// useAll records every relation that a statement names.
func (a *analyzer) useAll(n *pg.Node, how access.Access) {
	eachRelation(n, func(rv *pg.RangeVar) {
		if !a.seen[rv] {
			a.use(rv, how)
		}
	})
}

// privileges handles statements about who may do what.
func (a *analyzer) privileges(n *pg.Node) bool {
	a.out.Kind = KindGrant
	switch n.GetNode().(type) {
	case *pg.Node_GrantStmt, *pg.Node_GrantRoleStmt:
	case *pg.Node_AlterDefaultPrivilegesStmt:
		a.feature(Identity, "ALTER DEFAULT PRIVILEGES")
	case *pg.Node_CreateRoleStmt, *pg.Node_AlterRoleStmt, *pg.Node_DropRoleStmt:
		a.feature(Identity, "a change of roles")
	case *pg.Node_ReassignOwnedStmt, *pg.Node_DropOwnedStmt:
		a.feature(Identity, "REASSIGN OWNED or DROP OWNED")
		a.out.Effects = append(a.out.Effects, Effect{Kind: DDL, Alters: true})
	case *pg.Node_AlterOwnerStmt:
		a.feature(Identity, "a change of owner")
	case *pg.Node_CreatePolicyStmt, *pg.Node_AlterPolicyStmt:
		a.feature(Identity, "a change of row security")
	case *pg.Node_SecLabelStmt:
		a.feature(Identity, "SECURITY LABEL")
	default:
		a.out.Kind = ""
		return false
	}
	a.useAll(n, access.AccessDefine)
	return true
}

// code handles statements that run or store procedural code. What such code does
// to the session, the catalog and the output is unknown.
func (a *analyzer) code(n *pg.Node) bool {
	a.out.Kind = KindDDL
	switch v := n.GetNode().(type) {
	case *pg.Node_DoStmt:
		a.feature(Procedural, "DO")
		a.anything()
	case *pg.Node_CallStmt:
		a.procedure(v.CallStmt)
	case *pg.Node_CreateFunctionStmt, *pg.Node_AlterFunctionStmt:
		a.feature(Procedural, "CREATE or ALTER FUNCTION")
	case *pg.Node_CreateTrigStmt, *pg.Node_CreateEventTrigStmt, *pg.Node_AlterEventTrigStmt:
		a.feature(Procedural, "CREATE TRIGGER")
	case *pg.Node_RuleStmt:
		a.feature(Procedural, "CREATE RULE")
	case *pg.Node_CreateCastStmt, *pg.Node_CreateTransformStmt, *pg.Node_CreatePlangStmt, *pg.Node_CreateOpClassStmt,
		*pg.Node_CreateOpFamilyStmt, *pg.Node_AlterOpFamilyStmt, *pg.Node_AlterOperatorStmt, *pg.Node_CreateAmStmt,
		*pg.Node_CreateConversionStmt:
		a.feature(Procedural, "a definition that runs functions")
	case *pg.Node_DefineStmt:
		switch v.DefineStmt.GetKind() {
		case pg.ObjectType_OBJECT_TSCONFIGURATION, pg.ObjectType_OBJECT_TSDICTIONARY, pg.ObjectType_OBJECT_COLLATION:
		default:
			a.feature(Procedural, "CREATE AGGREGATE, OPERATOR or TYPE with functions")
		}
	case *pg.Node_CreateExtensionStmt, *pg.Node_AlterExtensionStmt, *pg.Node_AlterExtensionContentsStmt:
		a.feature(Extension, "CREATE or ALTER EXTENSION")
	default:
		a.out.Kind = ""
		return false
	}
	if a.out.Kind == KindSelect { // CALL of a procedure that is understood
		return true
	}
	a.useAll(n, access.AccessDefine)
	a.out.Effects = append(a.out.Effects, Effect{Kind: DDL, Alters: a.features[Extension].Name != ""})
	return true
}

// anything marks a statement that may do whatever its user may.
func (a *analyzer) anything() {
	a.out.Touches = a.cat.AnyTagged()
	a.out.Derived = a.cat.AllTags()
	a.tags = a.cat.AllTags()
	a.out.Effects = append(a.out.Effects, Effect{Kind: SetPath}, Effect{Kind: DDL, Alters: true})
}

func (a *analyzer) procedure(c *pg.CallStmt) {
	a.out.ReturnsRows = true
	if a.understoodProcedure(c.GetFunccall()) {
		return
	}
	_ = a.funcCall(c.GetFunccall(), env{})
	schema, name := funcName(c.GetFunccall())
	if !a.vouched(schema, name) {
		a.anything()
	}
}

// outside handles statements that reach beyond this database: other servers,
// replication, the server's own configuration.
func (a *analyzer) outside(n *pg.Node) bool {
	a.out.Kind = KindDDL
	switch v := n.GetNode().(type) {
	case *pg.Node_CreateFdwStmt, *pg.Node_AlterFdwStmt, *pg.Node_CreateForeignServerStmt, *pg.Node_AlterForeignServerStmt,
		*pg.Node_CreateUserMappingStmt, *pg.Node_AlterUserMappingStmt, *pg.Node_DropUserMappingStmt,
		*pg.Node_ImportForeignSchemaStmt, *pg.Node_CreateForeignTableStmt:
		a.feature(ForeignData, "a definition of foreign data")
	case *pg.Node_CreatePublicationStmt, *pg.Node_AlterPublicationStmt:
		a.feature(Replication, "CREATE or ALTER PUBLICATION")
	case *pg.Node_CreateSubscriptionStmt, *pg.Node_AlterSubscriptionStmt, *pg.Node_DropSubscriptionStmt:
		a.feature(Replication, "a subscription")
	case *pg.Node_AlterRoleSetStmt:
		a.storedSetting("ALTER ROLE … SET", v.AlterRoleSetStmt.GetSetstmt())
	case *pg.Node_AlterDatabaseSetStmt:
		a.storedSetting("ALTER DATABASE … SET", v.AlterDatabaseSetStmt.GetSetstmt())
	case *pg.Node_AlterSystemStmt:
		a.storedSetting("ALTER SYSTEM", v.AlterSystemStmt.GetSetstmt())
		a.feature(ServerControl, "ALTER SYSTEM")
	case *pg.Node_CreatedbStmt, *pg.Node_DropdbStmt, *pg.Node_AlterDatabaseStmt, *pg.Node_AlterDatabaseRefreshCollStmt,
		*pg.Node_CreateTableSpaceStmt, *pg.Node_DropTableSpaceStmt, *pg.Node_AlterTableSpaceOptionsStmt,
		*pg.Node_AlterTableMoveAllStmt:
		a.feature(ServerControl, "a change of databases or tablespaces")
	default:
		a.out.Kind = ""
		return false
	}
	a.useAll(n, access.AccessDefine)
	a.effect(DDL, "")
	return true
}

// storedSetting is a setting for later sessions, which no proxy sees being set.
func (a *analyzer) storedSetting(construct string, s *pg.VariableSetStmt) {
	a.feature(ParserSetting, construct+" "+s.GetName())
}
