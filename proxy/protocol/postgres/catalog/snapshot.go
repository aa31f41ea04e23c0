package catalog

import (
	"slices"
	"sort"
)

// Column is a column of a relation, a field of a composite type, or an output of
// a view.
type Column struct {
	Name    string
	Num     int16 // attribute number, from 1
	TypeOID uint32
	// Tags are the classification tags of the values, sorted; nil = untagged.
	Tags []string
	// Generated: the server computes it (GENERATED ALWAYS AS … STORED).
	Generated bool
	// Dropped columns keep their number, hold no values and have no name.
	Dropped bool
}

// Relation is anything with rows: a table, view, sequence or the like.
type Relation struct {
	OID    uint32
	Schema string
	Name   string
	// Kind is pg_class.relkind: r table, v view, m materialized view, f foreign
	// table, p partitioned table, S sequence, t TOAST table, c composite type.
	Kind byte
	// Columns are in the order of their attribute numbers, dropped ones included.
	Columns []Column
	// Tags is the union of the columns' tags, sorted.
	Tags []string
	// Reads, of a view: it is built on something tagged, so that reading it can
	// fail with a tagged value in the error, even where no column carries a tag.
	Reads bool
	// Version differs wherever the relation's definition was changed in between, also
	// where it has been changed back. 0 = not known, of snapshots made by hand.
	Version uint64
}

// Column returns the column of that name, or nil. Dropped columns have no name.
func (r *Relation) Column(name string) *Column {
	for i := range r.Columns {
		if c := &r.Columns[i]; !c.Dropped && c.Name == name {
			return c
		}
	}
	return nil
}

// Field is a field of a composite type.
type Field struct {
	Name    string
	TypeOID uint32
}

// Type is a data type, as far as a masker must know it to read and write values.
type Type struct {
	OID    uint32
	Schema string
	Name   string
	// Kind is pg_type.typtype: b base, c composite, d domain, e enum, p pseudo,
	// r range, m multirange.
	Kind     byte
	Elem     uint32   // of an array type: the type of its elements
	Base     uint32   // of a domain: the type under it
	Sub      uint32   // of a range: its bounds' type; of a multirange: its range type
	Relation uint32   // of a composite type: pg_class OID of the relation it describes
	Labels   []string // of an enum, in sort order
	Fields   []Field  // of a composite type, in order, without dropped ones
}

// Classification puts tags on columns.
type Classification struct {
	// Columns are patterns "schema.table.column"; "*" stands for any run of
	// characters inside one part.
	Columns []string
	Tags    []string
}

// Content is what a Snapshot is made of.
type Content struct {
	Relations []Relation
	Types     []Type
	// SearchPath holds the schemas that an unqualified name is looked up in, in
	// order, for a fresh session of the proxy's own user; pg_catalog is in it.
	SearchPath []string
	// Schemas are all schemas of the database.
	Schemas []string
	// Functions, FieldFunctions and Operators are names outside pg_catalog and
	// information_schema that a statement could reach by that name.
	// FieldFunctions are those that can be called with one argument, and so also
	// as "(value).name".
	Functions      []string
	FieldFunctions []string
	Operators      []string
	// Extended are functions and operators of well-known extensions without side
	// effects (hstore, citext …), which count as built in.
	Extended []string
	// Server is the major version of the server; 0 = not known.
	Server int
	// Routines are the functions behind Functions and FieldFunctions; one without
	// an entry here is code that nobody can read.
	Routines []Routine
	Triggers []Trigger
	Rules    []Rule
	// Runs are routines that run when a relation, by its OID, is written; TypeRuns
	// those that check values of a domain; Casts those of casts to a type;
	// OperatorRoutines those behind Operators.
	Runs, TypeRuns   map[uint32][]uint32
	Casts            map[uint32][]uint32
	OperatorRoutines map[string][]uint32
	// Parents are the relations that a relation inherits from or is a partition of.
	Parents map[uint32][]uint32
}

type attribute struct {
	relation uint32
	number   int16
}

// Snapshot is the state of a database's catalog at one moment. It is immutable
// and safe for concurrent use. The nil Snapshot knows nothing.
type Snapshot struct {
	// Version grows with every Load in this process.
	Version uint64
	// Epoch tells snapshots apart whose tags were put by other classifications, or with
	// other acquired tags.
	Epoch uint64
	// SearchPath: see Content.SearchPath.
	SearchPath []string
	// Server: see Content.Server.
	Server int
	// Unmatched are the classification patterns that no column fits.
	Unmatched []string

	relations map[uint32]*Relation
	named     map[string][]*Relation
	types     map[uint32]Type
	typed     map[string][]uint32
	tags      map[attribute][]string
	allTags   []string
	schemas   map[string]bool
	functions map[string]bool
	fields    map[string]bool
	operators map[string]bool
	extended  map[string]bool
	real      *Snapshot // of an Untagged one

	routines         map[string][]*Routine
	routine          map[uint32]*Routine
	triggers         map[uint32][]Trigger
	rules            map[uint32][]Rule
	runs, typeRuns   map[uint32][]uint32
	casts            map[uint32][]uint32
	operatorRoutines map[string][]uint32
	children         map[uint32][]uint32

	marks    map[attribute][]string // the patterns that named a column, see follow
	database string
	acquired []Acquired
	memo     *memo // never nil, of New
}

// New builds a Snapshot from its content; Tags of a Relation are computed from
// its columns.
func New(version uint64, content Content) *Snapshot {
	s := &Snapshot{
		Version: version, Server: content.Server, SearchPath: slices.Clone(content.SearchPath),
		memo:      &memo{},
		relations: make(map[uint32]*Relation, len(content.Relations)),
		named:     make(map[string][]*Relation, len(content.Relations)),
		types:     make(map[uint32]Type, len(content.Types)),
		typed:     make(map[string][]uint32, len(content.Types)),
		tags:      make(map[attribute][]string),
		schemas:   set(content.Schemas),
		functions: set(content.Functions), fields: set(content.FieldFunctions),
		operators: set(content.Operators), extended: set(content.Extended),
	}
	for i := range content.Relations {
		s.add(content.Relations[i])
	}
	for _, t := range content.Types {
		s.types[t.OID] = t
		s.typed[t.Name] = append(s.typed[t.Name], t.OID)
	}
	s.addRoutines(&content)
	return s
}

func (s *Snapshot) add(r Relation) {
	r.Columns = slices.Clone(r.Columns)
	r.Tags = nil
	for _, c := range r.Columns {
		if len(c.Tags) > 0 {
			s.tags[attribute{r.OID, c.Num}] = c.Tags
			r.Tags = Union(r.Tags, c.Tags)
		}
	}
	if len(r.Tags) > 0 {
		s.tags[attribute{r.OID, 0}] = r.Tags
		s.allTags = Union(s.allTags, r.Tags)
	}
	s.relations[r.OID] = &r
	s.named[r.Name] = append(s.named[r.Name], &r)
	s.schemas[r.Schema] = true
}

// Relation returns the relation with that pg_class OID, or nil.
func (s *Snapshot) Relation(oid uint32) *Relation {
	if s == nil {
		return nil
	}
	return s.relations[oid]
}

// Lookup returns the relation of that exact schema and name, or nil.
func (s *Snapshot) Lookup(schema, name string) *Relation {
	for _, r := range s.Named(name) {
		if r.Schema == schema {
			return r
		}
	}
	return nil
}

// Named returns the relations of that name in all schemas.
func (s *Snapshot) Named(name string) []*Relation {
	if s == nil {
		return nil
	}
	return s.named[name]
}

// Origin returns the tags of the column that a RowDescription attests, and
// whether the snapshot knows that relation. It does not allocate.
//
// Number 0 is the whole row and carries the union; system columns (negative) are
// untagged. A number that the relation did not have when the snapshot was taken
// carries the relation's union: a column that was just added may be generated
// from a tagged one. Where known is false the attestation says nothing (the
// relation is younger than the snapshot, or temporary), and the value must be
// treated as one of unknown origin.
func (s *Snapshot) Origin(relation uint32, number int16) (tags []string, known bool) {
	if s == nil {
		return nil, false
	}
	if tags, ok := s.tags[attribute{relation, number}]; ok {
		return tags, true
	}
	r := s.relations[relation]
	if r == nil {
		return nil, false
	}
	if len(r.Tags) > 0 && int(number) > len(r.Columns) {
		return r.Tags, true
	}
	return nil, true
}

// TagsOf is Origin for callers that cannot treat unknown origins apart: a
// relation that the snapshot does not know carries every tag there is. nil =
// untagged. It does not allocate.
func (s *Snapshot) TagsOf(relation uint32, number int16) []string {
	tags, known := s.Origin(relation, number)
	if !known {
		return s.AllTags()
	}
	return tags
}

// AllTags returns every tag that some column carries, sorted.
func (s *Snapshot) AllTags() []string {
	if s == nil {
		return nil
	}
	return s.allTags
}

// Tagged returns the relations that have a column with a tag, in no order.
func (s *Snapshot) Tagged() []*Relation {
	var tagged []*Relation
	for _, r := range s.relations {
		if len(r.Tags) > 0 {
			tagged = append(tagged, r)
		}
	}
	return tagged
}

// AnyTagged reports whether any column carries a tag.
func (s *Snapshot) AnyTagged() bool { return len(s.AllTags()) > 0 }

// Type returns the data type with that OID.
func (s *Snapshot) Type(oid uint32) (Type, bool) {
	if s == nil {
		return Type{}, false
	}
	t, ok := s.types[oid]
	return t, ok
}

// TypeNamed reports whether a type of that name exists; an empty schema means
// any schema.
func (s *Snapshot) TypeNamed(schema, name string) bool {
	if s == nil {
		return false
	}
	for _, oid := range s.typed[name] {
		if schema == "" || s.types[oid].Schema == schema {
			return true
		}
	}
	return false
}

// HasSchema reports whether a schema of that name exists.
func (s *Snapshot) HasSchema(name string) bool { return s != nil && s.schemas[name] }

// UserFunction reports whether a function or procedure of that name exists
// outside pg_catalog and information_schema, well-known extensions left out: an
// unqualified call of that name could run it.
func (s *Snapshot) UserFunction(name string) bool { return s != nil && s.functions[name] }

// UserFieldFunction reports whether a UserFunction of that name can be called with
// one argument, so that "(value).name" may call it.
func (s *Snapshot) UserFieldFunction(name string) bool { return s != nil && s.fields[name] }

// UserOperator is UserFunction for operators.
func (s *Snapshot) UserOperator(name string) bool { return s != nil && s.operators[name] }

// Extended reports whether that name is a function or operator of a well-known
// extension without side effects that is installed here.
func (s *Snapshot) Extended(name string) bool { return s != nil && s.extended[name] }

// Union merges two sorted sets of tags. It returns one of its arguments where
// that already is the answer; neither may be changed afterwards.
func Union(a, b []string) []string {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	case Contains(a, b):
		return a
	}
	out := append(slices.Clone(a), b...)
	sort.Strings(out)
	return slices.Compact(out)
}

// Contains reports whether the sorted set a holds every tag of b.
func Contains(a, b []string) bool {
	for _, tag := range b {
		if _, ok := slices.BinarySearch(a, tag); !ok {
			return false
		}
	}
	return true
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}
