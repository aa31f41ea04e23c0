package rewrite

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// same reports whether a text parses to a tree, places in the text apart. It is what
// keeps a slip in the surgery on texts from becoming another statement. It uses want
// up.
func same(want *pg.ParseResult, text string, server int, limits analysis.Limits) bool {
	got, err := analysis.Tree(text, server, limits)
	if err != nil || len(got.GetStmts()) != len(want.GetStmts()) {
		return false
	}
	for i, raw := range got.GetStmts() {
		unplaced(raw.ProtoReflect())
		unplaced(want.GetStmts()[i].ProtoReflect())
		if !proto.Equal(raw, want.GetStmts()[i]) {
			return false
		}
	}
	return true
}

// unplaced clears the fields that say where in a text something stands.
func unplaced(m protoreflect.Message) {
	every(m, func(n protoreflect.Message) bool {
		n.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			name := string(f.Name())
			if f.Kind() == protoreflect.Int32Kind && !f.IsList() && (strings.HasSuffix(name, "location") || name == "stmt_len") {
				n.Clear(f)
			}
			return true
		})
		return true
	})
}
