package catalog

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Routine is a function or procedure outside pg_catalog and information_schema
// (pg_proc), those of well-known extensions without side effects left out.
type Routine struct {
	OID          uint32
	Schema, Name string
	// Kind is pg_proc.prokind: f function, p procedure, a aggregate, w window.
	Kind     byte
	Language string
	// Source is the body, of the languages sql and plpgsql; empty where it is
	// longer than maxSource bytes.
	Source string
	// Atomic: Source is what the server makes of a BEGIN ATOMIC or RETURN body,
	// whose names were bound when the routine was made.
	Atomic bool
	// Volatility is pg_proc.provolatile: i immutable, s stable, v volatile.
	Volatility byte
	// Definer: SECURITY DEFINER; Owner is as whom it then runs.
	Definer bool
	Owner   string
	// Settings are its SET clauses, "name=value" (pg_proc.proconfig).
	Settings []string
	// Set: it returns a set of rows. Result is the type of the result, of one row.
	Set    bool
	Result uint32
	// Arguments in order, with those that it gives back.
	Arguments []Argument
}

// Argument is a parameter of a Routine, or a column of its result.
type Argument struct {
	Name string
	// Mode is i in, o out, b both, v variadic, t a column of RETURNS TABLE.
	Mode    byte
	TypeOID uint32
	// Default is an SQL expression with qualified names; empty = none.
	Default string
}

// Inputs returns how many arguments a call may have. A procedure is called with
// its outputs as well.
func (r *Routine) Inputs() (least, most int) {
	for _, a := range r.Arguments {
		switch a.Mode {
		case 'v':
			return least, 1 << 16
		case 't':
			continue
		case 'o':
			if r.Kind != 'p' {
				continue
			}
		}
		most++
		if a.Default == "" {
			least = most
		}
	}
	return least, most
}

// Bounds of the bodies that are loaded. What is longer has no Source and is code
// that nobody can read.
const (
	maxSource  = 64 << 10 // bytes of one body
	maxSources = 64 << 20 // bytes of all
)

const queryRoutines = `SELECT p.oid, n.nspname, p.proname, p.prokind, l.lanname,
CASE WHEN pg_catalog.octet_length(p.prosrc) <= 65536 AND l.lanname IN ('sql', 'plpgsql')
  THEN COALESCE(%s, p.prosrc) ELSE '' END, %s, p.provolatile, p.prosecdef, pg_catalog.pg_get_userbyid(p.proowner),
COALESCE(pg_catalog.to_json(p.proconfig)::pg_catalog.text, '[]'), p.proretset, p.prorettype
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY p.oid`

const queryArguments = `SELECT p.oid, COALESCE(p.proargmodes[a.n], 'i'), COALESCE(p.proargnames[a.n], ''), a.t,
CASE WHEN p.pronargdefaults > 0 THEN COALESCE(pg_catalog.pg_get_function_arg_default(p.oid, a.n::pg_catalog.int4), '') ELSE '' END
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace,
pg_catalog.unnest(COALESCE(p.proallargtypes, p.proargtypes::pg_catalog.oid[])) WITH ORDINALITY a(t, n)
WHERE p.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY p.oid, a.n`

func (l *loader) readRoutines() error {
	atomic, isAtomic := "pg_catalog.pg_get_function_sqlbody(p.oid)", "p.prosqlbody IS NOT NULL"
	if l.content.Server > 0 && l.content.Server < 14 {
		atomic, isAtomic = "NULL", "false"
	}
	byOID, size := map[uint32]*Routine{}, 0
	var order []*Routine
	err := l.read(fmt.Sprintf(queryRoutines, atomic, isAtomic), maxRows, func(row []string) error {
		var n numbers
		r := &Routine{
			OID: n.oid(row[0]), Schema: row[1], Name: row[2], Kind: n.char(row[3]), Language: row[4], Source: row[5],
			Atomic: row[6] == "t", Volatility: n.char(row[7]), Definer: row[8] == "t", Owner: row[9],
			Set: row[11] == "t", Result: n.oid(row[12]),
		}
		if size += len(r.Source); size > maxSources || len(r.Source) > maxSource {
			r.Source = ""
		}
		if err := json.Unmarshal([]byte(row[10]), &r.Settings); err != nil {
			return err
		}
		if l.harmless[r.OID] {
			return n.err
		}
		byOID[r.OID] = r
		order = append(order, r)
		return n.err
	})
	if err != nil {
		return err
	}
	err = l.read(queryArguments, maxRows, func(row []string) error {
		var n numbers
		if r := byOID[n.oid(row[0])]; r != nil {
			r.Arguments = append(r.Arguments, Argument{Mode: n.char(row[1]), Name: row[2], TypeOID: n.oid(row[3]), Default: row[4]})
		}
		return n.err
	})
	for _, r := range order {
		l.content.Routines = append(l.content.Routines, *r)
	}
	return err
}

// Trigger is a trigger that is not switched off, of a table or view.
type Trigger struct {
	Relation uint32
	Name     string
	Routine  uint32
	// Type is pg_trigger.tgtype (trigger.h): 1 row, 2 before, 4 insert, 8 delete,
	// 16 update, 32 truncate, 64 instead.
	Type int16
}

// Rule is a rewrite rule other than a view's own query.
type Rule struct {
	Relation uint32
	// Event is pg_rewrite.ev_type: 2 update, 3 insert, 4 delete.
	Event   byte
	Instead bool
	// Text is the CREATE RULE, with qualified names.
	Text string
}

const queryTriggers = `SELECT tgrelid, tgname, tgfoid, tgtype FROM pg_catalog.pg_trigger
WHERE NOT tgisinternal AND tgenabled <> 'D' ORDER BY oid`

const queryRules = `SELECT ev_class, ev_type, is_instead, pg_catalog.pg_get_ruledef(oid) FROM pg_catalog.pg_rewrite
WHERE ev_type <> '1' AND ev_enabled <> 'D' AND oid >= 16384 ORDER BY oid`

// Functions that run where a row is written, besides triggers: those of defaults,
// generated columns, constraints, index expressions and conditions of triggers,
// and of row security, with the functions behind operators.
const queryRuns = `SELECT x.relation, COALESCE(o.oprcode::pg_catalog.oid, d.refobjid), x.type
FROM (
  SELECT adrelid, 0, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid FROM pg_catalog.pg_attrdef
  UNION ALL SELECT conrelid, contypid, 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid FROM pg_catalog.pg_constraint
  UNION ALL SELECT indrelid, 0, 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid FROM pg_catalog.pg_index
  UNION ALL SELECT partrelid, 0, 'pg_catalog.pg_class'::pg_catalog.regclass, partrelid FROM pg_catalog.pg_partitioned_table
  UNION ALL SELECT polrelid, 0, 'pg_catalog.pg_policy'::pg_catalog.regclass, oid FROM pg_catalog.pg_policy
  UNION ALL SELECT tgrelid, 0, 'pg_catalog.pg_trigger'::pg_catalog.regclass, oid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
) x(relation, type, class, object)
JOIN pg_catalog.pg_depend d ON d.classid = x.class AND d.objid = x.object
  AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
WHERE d.refobjid >= 16384
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.oid = x.object AND t.tgfoid = d.refobjid
    AND x.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass)`

const queryCasts = `SELECT casttarget, castfunc FROM pg_catalog.pg_cast WHERE castfunc >= 16384`

func (l *loader) readCasts() error {
	l.content.Casts = map[uint32][]uint32{}
	return l.read(queryCasts, maxRows, func(row []string) error {
		var n numbers
		if target, routine := n.oid(row[0]), n.oid(row[1]); !l.harmless[routine] {
			l.content.Casts[target] = append(l.content.Casts[target], routine)
		}
		return n.err
	})
}

func (l *loader) readHooks() error {
	c := &l.content
	err := l.read(queryTriggers, maxRows, func(row []string) error {
		var n numbers
		c.Triggers = append(c.Triggers, Trigger{Relation: n.oid(row[0]), Name: row[1], Routine: n.oid(row[2]), Type: n.small(row[3])})
		return n.err
	})
	if err != nil {
		return err
	}
	err = l.read(queryRules, maxRows, func(row []string) error {
		var n numbers
		c.Rules = append(c.Rules, Rule{Relation: n.oid(row[0]), Event: n.char(row[1]) - '0', Instead: row[2] == "t", Text: row[3]})
		return n.err
	})
	if err != nil {
		return err
	}
	c.Runs, c.TypeRuns = map[uint32][]uint32{}, map[uint32][]uint32{}
	return l.read(queryRuns, maxRows, func(row []string) error {
		var n numbers
		relation, routine, typ := n.oid(row[0]), n.oid(row[1]), n.oid(row[2])
		if relation != 0 {
			c.Runs[relation] = append(c.Runs[relation], routine)
		}
		if typ != 0 {
			c.TypeRuns[typ] = append(c.TypeRuns[typ], routine)
		}
		return n.err
	})
}

// Routines returns the routines of that name in all schemas.
func (s *Snapshot) Routines(name string) []*Routine {
	if s == nil {
		return nil
	}
	return s.routines[name]
}

// Routine returns the routine with that pg_proc OID, or nil.
func (s *Snapshot) Routine(oid uint32) *Routine {
	if s == nil {
		return nil
	}
	return s.routine[oid]
}

// Triggers returns the triggers of a relation and of those that inherit from it:
// a row that is written to a parent may land in a child.
func (s *Snapshot) Triggers(relation uint32) []Trigger {
	if s == nil || len(s.triggers) == 0 {
		return nil
	}
	var all []Trigger
	s.family(relation, func(oid uint32) { all = append(all, s.triggers[oid]...) })
	return all
}

// Rules returns the rewrite rules of a relation, and Runs the routines that run
// where it or one that inherits from it is written, besides those of triggers.
func (s *Snapshot) Rules(relation uint32) []Rule { return s.rules[relation] }

// Runs is what Rules says. A routine that is not in the snapshot is a harmless one of a
// well-known extension.
func (s *Snapshot) Runs(relation uint32) []uint32 {
	if s == nil || len(s.runs) == 0 && len(s.typeRuns) == 0 {
		return nil
	}
	var all []uint32
	s.family(relation, func(oid uint32) {
		all = append(all, s.runs[oid]...)
		if r := s.relations[oid]; r != nil {
			for i := range r.Columns {
				all = append(all, s.TypeRuns(r.Columns[i].TypeOID)...)
			}
		}
	})
	return all
}

// TypeRuns returns the routines that check a value of a type, which is a domain,
// or an array or a domain of one.
func (s *Snapshot) TypeRuns(oid uint32) []uint32 {
	var all []uint32
	for range maxTypeDepth {
		all = append(all, s.typeRuns[oid]...)
		t := s.types[oid]
		if oid = t.Base; oid == 0 {
			oid = t.Elem
		}
		if oid == 0 {
			break
		}
	}
	return all
}

// family visits a relation and all that inherit from it.
func (s *Snapshot) family(relation uint32, visit func(uint32)) {
	if s == nil {
		return
	}
	seen := map[uint32]bool{relation: true}
	for queue := []uint32{relation}; len(queue) > 0; queue = queue[1:] {
		visit(queue[0])
		for _, child := range s.children[queue[0]] {
			if !seen[child] {
				seen[child] = true
				queue = append(queue, child)
			}
		}
	}
}

// CastRoutines returns the users' functions that casts to a type of that name may
// run, and the types themselves; an empty schema means any schema.
func (s *Snapshot) CastRoutines(schema, name string) (routines, types []uint32) {
	if s == nil {
		return nil, nil
	}
	for _, oid := range s.typed[name] {
		if schema == "" || s.types[oid].Schema == schema {
			routines, types = append(routines, s.casts[oid]...), append(types, oid)
		}
	}
	return routines, types
}

// OperatorRoutines returns the functions behind the user's operators of a name;
// one that is not in the snapshot is a harmless one of an extension or a built-in.
func (s *Snapshot) OperatorRoutines(name string) []uint32 { return s.operatorRoutines[name] }

// addRoutines indexes what runs.
func (s *Snapshot) addRoutines(c *Content) {
	s.routines, s.routine = map[string][]*Routine{}, map[uint32]*Routine{}
	for i := range c.Routines {
		r := &c.Routines[i]
		s.routines[r.Name] = append(s.routines[r.Name], r)
		s.routine[r.OID] = r
	}
	s.triggers, s.rules = map[uint32][]Trigger{}, map[uint32][]Rule{}
	for _, t := range c.Triggers {
		s.triggers[t.Relation] = append(s.triggers[t.Relation], t)
	}
	for _, r := range c.Rules {
		s.rules[r.Relation] = append(s.rules[r.Relation], r)
	}
	s.runs, s.typeRuns, s.operatorRoutines, s.casts = c.Runs, c.TypeRuns, c.OperatorRoutines, c.Casts
	s.children = map[uint32][]uint32{}
	for child, parents := range c.Parents {
		for _, parent := range parents {
			s.children[parent] = append(s.children[parent], child)
		}
	}
}

// Signature renders a routine as "schema.name/oid", which no other routine of a
// snapshot has.
func (r *Routine) Signature() string {
	return r.Schema + "." + r.Name + "/" + strconv.FormatUint(uint64(r.OID), 10)
}
