// Package catalog holds what the proxy knows of a PostgreSQL database: relations,
// columns, types, which names are taken by user-defined functions and operators,
// and which column carries which classification tag.
//
// A Snapshot is immutable and versioned. It is loaded over a connection of the
// proxy's own, with fully qualified names and an empty search_path, so that no
// client can influence what it says.
//
// The package must not know statements, policies, sessions or masks: it answers
// questions about names and numbers, and whoever asks decides.
package catalog
