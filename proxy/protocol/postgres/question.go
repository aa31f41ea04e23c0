package postgres

import (
	"hash/maphash"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// questionSeed keys the numbers that probes are counted by, in this process alone.
var questionSeed = maphash.MakeSeed()

// ask tells the session what op asks of tagged data, so that it can be counted:
// bound is the digest of its parameters.
func ask(op *access.Operation, stmts []analysis.Statement, bound uint64) {
	if op.Phase != access.PhaseRun {
		return
	}
	var all maphash.Hash
	all.SetSeed(questionSeed)
	for i := range stmts {
		st := &stmts[i]
		compares := false
		for _, f := range st.Facts() {
			compares = compares || len(f.PredicateTags) > 0
		}
		for _, q := range st.Questions {
			if bound != 0 {
				q = q.Bound(bound)
			}
			_, _ = all.Write(q[:]) // never fails, see maphash
			if compares {
				op.Probes = append(op.Probes, maphash.Bytes(questionSeed, q[:]))
			}
		}
		if st.Touches || compares {
			op.Touches = 1
		}
	}
	if op.Touches != 0 {
		op.Touches = all.Sum64() | 1
	}
}
