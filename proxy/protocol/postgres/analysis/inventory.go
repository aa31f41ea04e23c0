package analysis

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// inventory is what a walk over every node of a statement finds, wherever it
// stands. The walk knows nothing of scopes: it sees that something is there, and
// lineage later says what it means.
type inventory struct {
	relations []*pg.RangeVar
	calls     []*pg.FuncCall
	with      []string // names of WITH queries
	constants []*pg.A_Const
	params    []*pg.ParamRef
	columnNames
}

// takeInventory walks the statement. Any node that is not listed in nodes makes
// the statement not understood.
func (a *analyzer) takeInventory(node *pg.Node) *inventory {
	found := &inventory{}
	a.found = found
	if node != nil {
		a.walkNode(node, found)
	}
	a.survey(found)
	for _, call := range found.calls {
		a.call(call, found)
	}
	return found
}

func (a *analyzer) visit(node proto.Message, found *inventory) {
	found.columnNames.visit(node)
	switch n := node.(type) {
	case *pg.RangeVar:
		found.relations = append(found.relations, n)
	case *pg.FuncCall:
		found.calls = append(found.calls, n)
	case *pg.ParamRef:
		found.params = append(found.params, n)
	case *pg.CommonTableExpr:
		found.with = append(found.with, n.GetCtename())
	case *pg.A_Expr:
		a.operator(n.GetName())
	case *pg.SubLink:
		a.operator(n.GetOperName())
	case *pg.SortBy:
		a.operator(n.GetUseOp())
	case *pg.TypeName:
		a.typeName(n)
	case *pg.TypeCast:
		a.cast(n)
	case *pg.RangeTableSample:
		a.sampleMethod(n)
	case *pg.A_Indirection:
		for _, part := range n.GetIndirection() {
			a.fieldCall(part.GetString_().GetSval())
		}
	}
}

// fieldCall looks at a name in field notation. PostgreSQL reads "(value).name" as
// "name(value)" where value has no such field, whatever its type:
// ('/etc/passwd').pg_read_file reads that file. It reports whether the name may be
// a function that returns more than it is given.
func (a *analyzer) fieldCall(name string) bool {
	if strings.HasPrefix(name, "pg_sleep") {
		a.sleeps = true
	}
	if d, isDangerous := functions.DangerOf(name); isDangerous {
		a.feature(string(d.Class), "."+name+", which calls the function")
		return true
	}
	if a.cat.UserFieldFunction(name) && !a.trusted[name] {
		a.feature(UnknownFunction, "."+name+", which may call the function")
		return true
	}
	return false
}

// operator refuses operators that could run a user's function.
func (a *analyzer) operator(name []*pg.Node) {
	parts := stringList(name)
	if len(parts) == 0 {
		return
	}
	last := parts[len(parts)-1]
	switch {
	case a.trusted[strings.Join(parts, ".")]:
	case len(parts) == 1 && !a.cat.UserOperator(last):
	case len(parts) == 2 && parts[0] == "pg_catalog":
	case a.cat.Extended(last) && !a.cat.UserOperator(last):
	case a.stands(a.cat.OperatorRoutines(last)):
	default:
		a.feature(UnknownFunction, "the operator "+strings.Join(parts, "."))
		if a.unread == nil {
			a.unread = map[string]bool{}
		}
		a.unread[last] = true
	}
}

// typeName refuses types that the catalog does not know: their input function
// could be anything.
func (a *analyzer) typeName(t *pg.TypeName) {
	parts := stringList(t.GetNames())
	if len(parts) == 0 || a.session.stale {
		return
	}
	schema, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	if t.GetPctType() {
		return // the type of a column that exists
	}
	if !a.cat.TypeNamed(schema, name) && !builtinTypes[name] && len(a.cat.Named(name)) == 0 && !a.session.temp[name] {
		a.feature(UnknownFunction, "the type "+strings.Join(parts, "."))
	}
}

// builtinTypes are names that the grammar itself writes into type names, and
// pseudo-types that stand for several; they need no catalog.
var builtinTypes = wordSet(`
	bool bpchar char varchar text name bytea bit varbit int2 int4 int8 float4 float8 numeric date time timetz timestamp
	timestamptz interval json jsonb xml uuid oid regclass record serial serial2 serial4 serial8 smallserial bigserial`)

func (a *analyzer) sampleMethod(n *pg.RangeTableSample) {
	parts := stringList(n.GetMethod())
	if len(parts) == 0 {
		return
	}
	last := parts[len(parts)-1]
	if last != "system" && last != "bernoulli" && !a.cat.Extended(last) || a.cat.UserFunction(last) {
		a.feature(UnknownFunction, "the sampling method "+last)
	}
}

// stringList returns the strings of a list of String nodes: a qualified name.
func stringList(list []*pg.Node) []string {
	var names []string
	for _, n := range list {
		names = append(names, n.GetString_().GetSval())
	}
	return names
}

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// nodes are the syntax nodes that the analyzer understands, by their protobuf
// names. A node that is not here makes its statement not understood: the list
// must grow with the grammar, by hand, with a look at what a new node can do.
var nodes = wordSet(`
	Node List Integer Float Boolean String BitString
	A_Const A_Expr A_Star A_Indices A_Indirection A_ArrayExpr ColumnRef ParamRef FuncCall TypeCast TypeName CollateClause
	BoolExpr NullTest BooleanTest SubLink CaseExpr CaseWhen CoalesceExpr MinMaxExpr RowExpr SQLValueFunction XmlExpr
	XmlSerialize NamedArgExpr SetToDefault CurrentOfExpr GroupingFunc GroupingSet MultiAssignRef WindowDef SortBy
	JsonFormat JsonReturning JsonValueExpr JsonOutput JsonKeyValue JsonObjectConstructor JsonArrayConstructor
	JsonArrayQueryConstructor JsonAggConstructor JsonObjectAgg JsonArrayAgg JsonIsPredicate
	SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt MergeWhenClause ResTarget OnConflictClause InferClause
	IndexElem WithClause CommonTableExpr CTESearchClause CTECycleClause IntoClause LockingClause
	RangeVar RangeSubselect RangeFunction RangeTableSample RangeTableFunc RangeTableFuncCol JoinExpr Alias
	CopyStmt ExplainStmt PrepareStmt ExecuteStmt DeallocateStmt DeclareCursorStmt FetchStmt ClosePortalStmt
	TransactionStmt VariableSetStmt VariableShowStmt DiscardStmt ListenStmt UnlistenStmt NotifyStmt LockStmt LoadStmt
	ConstraintsSetStmt CheckPointStmt VacuumStmt VacuumRelation ClusterStmt ReindexStmt TruncateStmt CallStmt DoStmt
	DefElem RoleSpec AccessPriv ObjectWithArgs FunctionParameter
	GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt
	ReassignOwnedStmt DropOwnedStmt AlterOwnerStmt SecLabelStmt CreatePolicyStmt AlterPolicyStmt AlterSystemStmt
	CreatedbStmt DropdbStmt AlterDatabaseStmt AlterDatabaseSetStmt AlterDatabaseRefreshCollStmt CreateTableSpaceStmt
	DropTableSpaceStmt AlterTableSpaceOptionsStmt AlterTableMoveAllStmt
	CreateStmt CreateTableAsStmt ViewStmt RefreshMatViewStmt IndexStmt ColumnDef Constraint TableLikeClause
	PartitionSpec PartitionElem PartitionBoundSpec PartitionRangeDatum PartitionCmd ReplicaIdentityStmt
	AlterTableStmt AlterTableCmd RenameStmt AlterObjectSchemaStmt AlterObjectDependsStmt DropStmt CommentStmt
	CreateSchemaStmt CreateSeqStmt AlterSeqStmt CreateStatsStmt AlterStatsStmt StatsElem CreateDomainStmt
	AlterDomainStmt CreateEnumStmt AlterEnumStmt CreateRangeStmt CompositeTypeStmt AlterTypeStmt DefineStmt
	AlterCollationStmt CreateConversionStmt AlterTSConfigurationStmt AlterTSDictionaryStmt
	CreateFunctionStmt AlterFunctionStmt CreateTrigStmt TriggerTransition CreateEventTrigStmt AlterEventTrigStmt
	RuleStmt CreateCastStmt CreateTransformStmt CreatePLangStmt CreateOpClassStmt CreateOpClassItem CreateOpFamilyStmt
	AlterOpFamilyStmt AlterOperatorStmt CreateAmStmt ReturnStmt
	CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt
	CreateFdwStmt AlterFdwStmt CreateForeignServerStmt AlterForeignServerStmt CreateForeignTableStmt
	CreateUserMappingStmt AlterUserMappingStmt DropUserMappingStmt ImportForeignSchemaStmt
	CreatePublicationStmt AlterPublicationStmt PublicationObjSpec PublicationTable CreateSubscriptionStmt
	AlterSubscriptionStmt DropSubscriptionStmt`)

// eachRelation calls visit for every relation reference in a node.
func eachRelation(n *pg.Node, visit func(*pg.RangeVar)) {
	if n == nil {
		return
	}
	relationsIn(n.ProtoReflect(), visit)
}

func relationsIn(m protoreflect.Message, visit func(*pg.RangeVar)) {
	if rv, ok := m.Interface().(*pg.RangeVar); ok {
		visit(rv)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				relationsIn(v.List().Get(i).Message(), visit)
			}
		default:
			relationsIn(v.Message(), visit)
		}
		return true
	})
}
