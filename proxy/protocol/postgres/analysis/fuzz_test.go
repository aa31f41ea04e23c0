package analysis

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// fuzzed is a catalog with something protected, a view and a second schema.
func fuzzed() *catalog.Snapshot {
	const text, integer = 25, 23
	ssn := []string{"pii/ssn"}
	return catalog.New(7, catalog.Content{
		SearchPath: []string{"pg_catalog", "public"}, Schemas: []string{"pg_catalog", "public", "app"},
		Relations: []catalog.Relation{
			{OID: 100, Schema: "public", Name: "customers", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: integer},
				{Name: "name", Num: 2, TypeOID: text},
				{Name: "email", Num: 3, TypeOID: text, Tags: []string{"pii/email"}},
				{Name: "ssn", Num: 4, TypeOID: text, Tags: ssn},
			}},
			{OID: 101, Schema: "public", Name: "orders", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: integer}, {Name: "customer_id", Num: 2, TypeOID: integer}, {Name: "total", Num: 3, TypeOID: 1700},
			}},
			{OID: 102, Schema: "public", Name: "v_contacts", Kind: 'v', Reads: true, Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: integer}, {Name: "tax", Num: 2, TypeOID: text, Tags: ssn},
			}},
		},
	})
}

// understood renders all that is known of a text's statements but where in it they stand.
func understood(t *testing.T, text string, cat *catalog.Snapshot) string {
	t.Helper()
	result, err := Analyze(text, &State{Temp: map[string]bool{"t": true}}, cat, Options{})
	if err != nil {
		var r *Refusal
		if !errors.As(err, &r) || r.Code == "" || result != nil {
			t.Fatalf("%q: %v %v", text, result, err)
		}
		if r.Code == "XX000" {
			t.Fatalf("%q: the analyzer has a defect: %v", text, r)
		}
		return r.Code
	}
	for i := range result.Statements {
		anonymous(&result.Statements[i])
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// anonymous drops a statement's text and places in it, and those of statements inside it.
func anonymous(s *Statement) {
	s.Text = ""
	for i := range s.Absent {
		s.Absent[i].Position = 0
	}
	for i := range s.References {
		s.References[i].Location = 0
	}
	for i := range s.Effects {
		if inner := s.Effects[i].Statement; inner != nil {
			anonymous(inner)
		}
	}
}

// FuzzInvariants: whatever a text is, it is understood the same each time, the same with comments and space around it, and not at
// all if one of its nodes were not listed.
func FuzzInvariants(f *testing.F) {
	for _, file := range []string{"exfil.tsv", "benign.tsv"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n")[1:] {
			f.Add(strings.Split(line, "\t")[2])
		}
	}
	cat := fuzzed()
	f.Fuzz(func(t *testing.T, text string) {
		facts := understood(t, text, cat)
		if again := understood(t, text, cat); again != facts {
			t.Fatalf("%q is understood in two ways:\n%s\n%s", text, facts, again)
		}
		for _, around := range []string{"/* a */ " + text, text + "\n-- b", " \n\t" + text + "\n/* c /* d */ */ "} {
			if other := understood(t, around, cat); other != facts && len(facts) > 5 {
				t.Fatalf("%q is understood otherwise as %q:\n%s\n%s", text, around, facts, other)
			}
		}
		if len(facts) > 5 {
			unlisted(t, text, cat)
		}
	})
}

// unlisted takes one of the text's nodes off the list, by the text's hash, and has it understood so.
func unlisted(t *testing.T, text string, cat *catalog.Snapshot) {
	t.Helper()
	tree, err := parse(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	in := make([][]string, len(tree.GetStmts()))
	for i, raw := range tree.GetStmts() {
		in[i] = kindsOf(raw.GetStmt())
		kinds = append(kinds, in[i]...)
	}
	if len(kinds) == 0 {
		return
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	hash := fnv.New32()
	_, _ = hash.Write([]byte(text)) // never fails, see hash.Hash
	kind := kinds[int(hash.Sum32())%len(kinds)]
	was := nodes[kind]
	nodes[kind] = false
	defer func() { nodes[kind] = was }()
	result, err := Analyze(text, nil, cat, Options{})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	for i, s := range result.Statements {
		if slices.Contains(in[i], kind) && s.Kind != "" {
			t.Fatalf("%q: statement %d is taken for a %s, though %s is not understood", text, i, s.Kind, kind)
		}
	}
}

// kindsOf lists the names of a tree's nodes.
func kindsOf(node *pg.Node) []string {
	var kinds []string
	var walk func(m protoreflect.Message)
	walk = func(m protoreflect.Message) {
		kinds = append(kinds, string(m.Descriptor().Name()))
		if _, constant := m.Interface().(*pg.A_Const); constant {
			return // what is inside is a value, which the analyzer does not look at
		}
		m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case field.Kind() != protoreflect.MessageKind:
			case field.IsList():
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			default:
				walk(v.Message())
			}
			return true
		})
	}
	if node != nil {
		walk(node.ProtoReflect())
	}
	return kinds
}
