package postgres

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/rewrite"
)

const (
	maxFacts    = 1024     // analyzed texts kept
	maxFactText = 8 << 10  // bytes of one
	maxFactRuns = 64 << 10 // bytes of what runs in its place
	maxNumbers  = 4096     // distinct facts that have a number
)

// factCache keeps what was understood of texts. It is safe for concurrent use; its
// zero value is empty.
type factCache struct {
	mu     sync.Mutex
	byText map[factKey]factEntry
	// numbers gives equal facts, whatever their text, the same number, so that
	// policy decides once for all of them. The key is a whole SHA-256: with a
	// shorter one an attacker could make a statement that passes for another.
	numbers map[[sha256.Size]byte]uint64
	last    uint64
}

type factKey struct {
	text    string
	catalog uint64
	path    bool
	plan    uint64 // rewrite.Plan.Number; 0 = none
}

type factEntry struct {
	result *analysis.Result
	id     uint64
}

// analyze returns the facts of text, as it runs under the plan (nil: as it is), and
// their number; 0 where they depend on more of the session than the cache knows.
func (f *factCache) analyze(text string, st *analysis.State, cat *catalog.Snapshot, plan *rewrite.Plan, opt analysis.Options) (*analysis.Result, uint64, error) {
	key := factKey{text: text, catalog: cat.Version, path: st.PathChanged}
	if plan != nil {
		key.plan = plan.Number
	}
	plain := len(opt.Without) == 0 && len(st.Temp) == 0 && !st.Stale && !st.Unsettled && len(text) <= maxFactText
	if plain {
		f.mu.Lock()
		e, ok := f.byText[key]
		f.mu.Unlock()
		if ok {
			return e.result, e.id, nil
		}
	}
	used := false
	watched := *st
	watched.Prepared, watched.Cursor = watch(st.Prepared, &used), watch(st.Cursor, &used)
	result, err := analysis.Analyze(text, &watched, cat, opt)
	if err == nil {
		recorded := result.Recorded // masked columns carry no tags in what runs under a plan
		if result, err = plan.Apply(text, &watched, result, opt); err == nil {
			result.Recorded = recorded
		}
	}
	if err != nil || used || !plain || len(result.Runs) > maxFactRuns {
		return result, 0, err
	}
	id := f.number(operation(access.PhaseRun, result.Statements).Statements)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.byText) >= maxFacts || f.byText == nil {
		f.byText = make(map[factKey]factEntry)
	}
	f.byText[key] = factEntry{result, id}
	return result, id, nil
}

// number returns a number that no other facts have in this process. Numbers are
// never used again: facts that were forgotten get a new one.
func (f *factCache) number(stmts []access.Statement) uint64 {
	encoded, err := json.Marshal(stmts)
	if err != nil {
		return 0
	}
	sum := sha256.Sum256(encoded)
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, ok := f.numbers[sum]; ok {
		return id
	}
	if len(f.numbers) >= maxNumbers || f.numbers == nil {
		f.numbers = make(map[[sha256.Size]byte]uint64)
	}
	f.last++
	f.numbers[sum] = f.last
	return f.last
}

// watch wraps a lookup in the session's state so that its use shows.
func watch(lookup func(string) []*analysis.Statement, used *bool) func(string) []*analysis.Statement {
	return func(name string) []*analysis.Statement {
		*used = true
		if lookup == nil {
			return nil
		}
		return lookup(name)
	}
}
