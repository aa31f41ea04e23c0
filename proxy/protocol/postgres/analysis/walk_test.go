package analysis

import (
	"testing"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestTheWalkForgetsNoField puts, into each field of each message that a tree can have, one at a time, something that is not
// listed: the walk has to come upon it.
func TestTheWalkForgetsNoField(t *testing.T) {
	forgotten := &pg.Node{Node: &pg.Node_Var{Var: &pg.Var{}}}
	if nodes["Var"] {
		t.Fatal("Var is listed; take another node")
	}
	oneof := (&pg.Node{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
	fields := 0
	for i := range oneof.Len() {
		if !nodes[string(oneof.Get(i).Message().Name())] || oneof.Get(i).Message().Name() == "A_Const" {
			continue
		}
		fields += eachField(oneof.Get(i).Message(), forgotten, 3, func(path string, set func(protoreflect.Message)) {
			root := (&pg.Node{}).ProtoReflect()
			set(root.Mutable(oneof.Get(i)).Message())
			a := &analyzer{cat: fuzzed(), session: newSession(nil)}
			a.begin()
			a.walkNode(root.Interface().(*pg.Node), &inventory{})
			if !a.opaque {
				t.Errorf("%s%s is not walked", oneof.Get(i).Message().Name(), path)
			}
		})
	}
	if fields < 500 {
		t.Errorf("only %d fields were tried", fields)
	}
}

// eachField calls try for every place below a message, to a depth, where a Node may be, with a function that puts one there. It
// returns how many there are.
func eachField(in protoreflect.MessageDescriptor, node *pg.Node, depth int, try func(path string, set func(protoreflect.Message))) int {
	count := 0
	for i := range in.Fields().Len() {
		f := in.Fields().Get(i)
		if f.Kind() != protoreflect.MessageKind {
			continue
		}
		child := func(m protoreflect.Message) protoreflect.Message { // an empty one
			if !f.IsList() {
				return m.Mutable(f).Message()
			}
			m.Mutable(f).List().AppendMutable()
			list := m.Mutable(f).List()
			return list.Get(list.Len() - 1).Message()
		}
		path := "." + string(f.Name())
		if f.Message().Name() == "Node" {
			count++
			try(path, func(m protoreflect.Message) {
				n := child(m)
				n.Set(n.Descriptor().Fields().ByName("var"), protoreflect.ValueOfMessage(node.GetVar().ProtoReflect()))
			})
			continue
		}
		if depth > 0 && nodes[string(f.Message().Name())] && f.Message().Name() != "A_Const" {
			count += eachField(f.Message(), node, depth-1, func(rest string, set func(protoreflect.Message)) {
				try(path+rest, func(m protoreflect.Message) { set(child(m)) })
			})
		}
	}
	return count
}
