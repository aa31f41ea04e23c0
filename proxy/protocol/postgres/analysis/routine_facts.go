package analysis

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// routine returns what a call of a routine does with arguments that carry these
// tags. perRow: the arguments differ from row to row, so that a comparison with
// them in the body is one with generated values.
func (a *analyzer) routine(r *catalog.Routine, args flow, perRow bool) *routineFacts {
	return a.bodyFacts(r, args, perRow, nil)
}

// bodyFacts is routine, for a trigger with the relation whose row it is given.
func (a *analyzer) bodyFacts(r *catalog.Routine, args flow, perRow bool, row *catalog.Relation) *routineFacts {
	facts := a.factsOf(r, args, perRow, row)
	lib := a.shared()
	lib.used = append(lib.used, facts.used...)
	if a.body == nil {
		a.out.used = append(a.out.used, facts.used...)
	}
	return facts
}

func (a *analyzer) factsOf(r *catalog.Routine, args flow, perRow bool, row *catalog.Relation) *routineFacts {
	key := a.routineKey(r, args, perRow, row)
	lib := a.shared()
	if f := lib.facts[key]; f != nil {
		return f
	}
	if at := slices.Index(lib.open, r.OID); at >= 0 {
		a.reached(at)
		return &routineFacts{result: a.everything(), touches: a.cat.AnyTagged()}
	}
	if lib.bodies++; len(lib.open) >= maxNesting || lib.bodies > maxBodies {
		a.reached(0)
		return &routineFacts{opaque: true}
	}
	if len(lib.open) == 0 {
		facts := a.remembered(key, r, args, perRow, row)
		lib.facts[key] = facts
		return facts
	}
	facts, low := a.open(r, args, perRow, row)
	if low < len(lib.open) {
		a.reached(low)
		return facts
	}
	lib.facts[key] = facts
	return facts
}

// remembered is for a routine that the statement itself runs. What its body runs is
// read anew, so that the facts do not depend on what was read before.
func (a *analyzer) remembered(key string, r *catalog.Routine, args flow, perRow bool, row *catalog.Relation) *routineFacts {
	compute := func() any {
		inner := *a
		inner.library = &library{facts: map[string]*routineFacts{}}
		facts, _ := inner.open(r, args, perRow, row)
		return facts
	}
	if len(a.session.temp) > 0 { // names of the session's own
		return compute().(*routineFacts)
	}
	return a.cat.Remember(key, compute).(*routineFacts)
}

// open reads a routine. low: see read.
func (a *analyzer) open(r *catalog.Routine, args flow, perRow bool, row *catalog.Relation) (facts *routineFacts, low int) {
	lib := a.shared()
	lib.open = append(lib.open, r.OID)
	before := lib.used
	lib.used = []*catalog.Routine{r}
	facts, low = a.read(r, args, perRow, row)
	facts.used = distinctRoutines(lib.used)
	lib.used = before
	lib.open = lib.open[:len(lib.open)-1]
	return facts, low
}

func distinctRoutines(list []*catalog.Routine) []*catalog.Routine {
	slices.SortFunc(list, func(x, y *catalog.Routine) int { return cmp.Compare(x.OID, y.OID) })
	return slices.Compact(list)
}

// outdated reports whether a routine that the facts of a statement rest on is not
// any more what it was.
func (a *analyzer) outdated(s *Statement) bool {
	return slices.ContainsFunc(s.used, func(r *catalog.Routine) bool {
		now := a.cat.Routine(r.OID)
		return now != r && !reflect.DeepEqual(now, r)
	})
}

// reached notes that what is being read runs a routine that is being read further
// out, at that place: what was found so far is only true inside of that.
func (a *analyzer) reached(at int) {
	if a.body != nil {
		a.body.low = min(a.body.low, at)
	}
}

func (a *analyzer) routineKey(r *catalog.Routine, args flow, perRow bool, row *catalog.Relation) string {
	of := ""
	if row != nil {
		of = strconv.FormatUint(uint64(row.OID), 10)
	}
	return strings.Join([]string{
		"routine", r.Signature(), of, args.key(), strconv.FormatBool(perRow),
		strconv.FormatBool(a.session.pathChanged), strings.Join(a.under(), ","), strings.Join(sortedNames(a.trusted), ","),
	}, "\x00")
}

// under is the search path that what the statement runs is run under; nil: the
// session's.
func (a *analyzer) under() []string {
	if a.body == nil {
		return nil
	}
	return a.body.under
}

// key is a text that only flows that say the same have.
func (f flow) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%t %t %t %t %q", f.opaque, f.many, f.part, f.mixed, f.tags)
	for _, o := range f.sources {
		fmt.Fprintf(&b, " %d.%d.%d", o.relation, o.number, o.how)
	}
	return b.String()
}
