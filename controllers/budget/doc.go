// Package budget is the ledger of hourly budgets: how many rows, bytes and probes the pods of a subject have been lent under
// a rule in the last hour. It is kept in ConfigMaps of the operator's namespace, one for each budget, so that every replica
// lends from the same and a restart forgets nothing; ADR 0017 says what holds.
//
// state.go is arithmetic alone. ledger.go reads and writes, by optimistic concurrency. sweep.go removes what an hour has left
// behind. The package must not know streams, sidecars or policies: whoever asks has found out who wants it and what the limit
// is.
package budget
