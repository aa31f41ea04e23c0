// Package mutate puts SQL statements into other dresses: the same statement in another spelling, or inside another statement.
//
// It knows SQL's tokens and no more: whether a dress still is a statement, only PostgreSQL can say, and what must become of it,
// only the judge of test/corpus. It must not import a package of the product, whose parser could hide what it gets wrong.
package mutate

import (
	"hash/fnv"
	"math/rand/v2"

	"github.com/tidewaiter/tidewaiter/test/corpus"
)

// Variants makes variants of a row for a seed, spellings and wrappings in turns, then both together, up
// to a number; a caller stops when it has enough that PostgreSQL accepts. Half of them are sent by the simple
// protocol, the others prepared, with results as text or binary. No two say the same by
// the same characters.
func Variants(row corpus.Row, seed uint64, number int) []corpus.Variant {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(row.ID)) // a hash takes everything
	random := rand.New(rand.NewPCG(seed, hash.Sum64()))
	var all []corpus.Variant
	made := map[string]bool{row.SQL: true}
	add := func(v corpus.Variant) {
		if made[v.SQL] {
			return
		}
		made[v.SQL] = true
		choice := random.IntN(4)
		v.Prepared, v.Binary = choice == 0 || row.NeedsParameters(), choice == 1
		all = append(all, v)
	}
	spelled, wrapped := random.Perm(len(spellings)), random.Perm(len(wrappings))
	for i := range max(len(spelled), len(wrapped)) { // in turns, so that a few variants are of both sorts
		if i < len(spelled) {
			add(spell(spellings[spelled[i]], row.SQL, random))
		}
		for _, at := range wrapped[min(2*i, len(wrapped)):min(2*i+2, len(wrapped))] {
			add(wrap(wrappings[at], row.SQL))
		}
	}
	for range 4 * number { // an empty statement has few dresses
		w, s := wrappings[random.IntN(len(wrappings))], spellings[random.IntN(len(spellings))]
		v := wrap(w, spell(s, row.SQL, random).SQL)
		if random.IntN(2) == 0 {
			v = wrap(w, row.SQL)
			v.SQL = s.do(random, v.SQL)
		}
		v.Name += " + " + s.name
		add(v)
		add(spell(s, row.SQL, random))
	}
	return all[:min(number, len(all))]
}

func spell(s spelling, sql string, random *rand.Rand) corpus.Variant {
	return corpus.Variant{Name: s.name, SQL: s.do(random, sql)}
}

func wrap(w wrapping, sql string) corpus.Variant {
	v := corpus.Variant{Name: w.name, SQL: w.put(sql), After: w.after, MayBeDenied: w.mayBeDenied, Unstable: w.unstable}
	if w.before != "" {
		v.Before = []string{w.before}
	}
	return v
}
