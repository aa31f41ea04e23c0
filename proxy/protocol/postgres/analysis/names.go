package analysis

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v5"
)

func valuesName(i int) string { return "column" + strconv.Itoa(i+1) }

// noName is what PostgreSQL calls an output that has no better name.
const noName = "?column?"

// outputName is the name that PostgreSQL gives an output without AS (see
// FigureColname in its parse_target.c). It matters where a query around this one
// refers to the column: a wrong name could make a reference miss it.
func outputName(n *pg.Node) string {
	name, _ := figureName(n)
	if name == "" {
		return noName
	}
	return name
}

// figureName returns a name and how good it is: 0 none, 1 a type's or CASE's, 2
// the expression's own.
func figureName(n *pg.Node) (name string, strength int) {
	switch v := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return lastString(v.ColumnRef.GetFields())
	case *pg.Node_AIndirection:
		if name, strength := lastString(v.AIndirection.GetIndirection()); strength > 0 {
			return name, strength
		}
		return figureName(v.AIndirection.GetArg())
	case *pg.Node_FuncCall:
		return lastString(v.FuncCall.GetFuncname())
	case *pg.Node_AExpr:
		if v.AExpr.GetKind() == pg.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case *pg.Node_TypeCast:
		if name, strength := figureName(v.TypeCast.GetArg()); strength > 1 {
			return name, strength
		}
		if name, strength := lastString(v.TypeCast.GetTypeName().GetNames()); strength > 0 {
			return name, 1
		}
		return figureName(v.TypeCast.GetArg())
	case *pg.Node_CollateClause:
		return figureName(v.CollateClause.GetArg())
	case *pg.Node_CaseExpr:
		if name, strength := figureName(v.CaseExpr.GetDefresult()); strength > 1 {
			return name, strength
		}
		return "case", 1
	case *pg.Node_SubLink:
		return subLinkName(v.SubLink)
	default:
		name := fixedName(n)
		if name != "" {
			return name, 2
		}
	}
	return "", 0
}

func lastString(list []*pg.Node) (string, int) {
	for i := len(list) - 1; i >= 0; i-- {
		if s := list[i].GetString_(); s != nil {
			return s.GetSval(), 2
		}
	}
	return "", 0
}

func subLinkName(s *pg.SubLink) (string, int) {
	switch s.GetSubLinkType() {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return "exists", 2
	case pg.SubLinkType_ARRAY_SUBLINK:
		return "array", 2
	case pg.SubLinkType_EXPR_SUBLINK:
		sel := s.GetSubselect().GetSelectStmt()
		for sel.GetLarg() != nil {
			sel = sel.GetLarg()
		}
		if targets := sel.GetTargetList(); len(targets) > 0 {
			if t := targets[0].GetResTarget(); t.GetName() != "" {
				return t.GetName(), 2
			}
			return figureName(targets[0].GetResTarget().GetVal())
		}
	}
	return "", 0
}

// fixedName names the expressions that are always called the same.
func fixedName(n *pg.Node) string {
	switch v := n.GetNode().(type) {
	case *pg.Node_GroupingFunc:
		return "grouping"
	case *pg.Node_AArrayExpr:
		return "array"
	case *pg.Node_RowExpr:
		return "row"
	case *pg.Node_CoalesceExpr:
		return "coalesce"
	case *pg.Node_MinMaxExpr:
		if v.MinMaxExpr.GetOp() == pg.MinMaxOp_IS_LEAST {
			return "least"
		}
		return "greatest"
	case *pg.Node_XmlSerialize:
		return "xmlserialize"
	case *pg.Node_XmlExpr:
		return xmlNames[v.XmlExpr.GetOp()]
	case *pg.Node_SqlvalueFunction:
		return valueNames[v.SqlvalueFunction.GetOp()]
	case *pg.Node_JsonObjectConstructor:
		return "json_object"
	case *pg.Node_JsonArrayConstructor, *pg.Node_JsonArrayQueryConstructor:
		return "json_array"
	case *pg.Node_JsonObjectAgg:
		return "json_objectagg"
	case *pg.Node_JsonArrayAgg:
		return "json_arrayagg"
	}
	return ""
}

var xmlNames = map[pg.XmlExprOp]string{
	pg.XmlExprOp_IS_XMLCONCAT: "xmlconcat", pg.XmlExprOp_IS_XMLELEMENT: "xmlelement", pg.XmlExprOp_IS_XMLFOREST: "xmlforest",
	pg.XmlExprOp_IS_XMLPARSE: "xmlparse", pg.XmlExprOp_IS_XMLPI: "xmlpi", pg.XmlExprOp_IS_XMLROOT: "xmlroot",
	pg.XmlExprOp_IS_XMLSERIALIZE: "xmlserialize",
}

var valueNames = map[pg.SQLValueFunctionOp]string{
	pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE: "current_date", pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME: "current_time",
	pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:    "current_time",
	pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP: "current_timestamp", pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N: "current_timestamp",
	pg.SQLValueFunctionOp_SVFOP_LOCALTIME: "localtime", pg.SQLValueFunctionOp_SVFOP_LOCALTIME_N: "localtime",
	pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP: "localtimestamp", pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N: "localtimestamp",
	pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE: "current_role", pg.SQLValueFunctionOp_SVFOP_CURRENT_USER: "current_user",
	pg.SQLValueFunctionOp_SVFOP_USER: "user", pg.SQLValueFunctionOp_SVFOP_SESSION_USER: "session_user",
	pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG: "current_catalog", pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA: "current_schema",
}
