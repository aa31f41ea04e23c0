package analysis

// EffectKind says what a statement does to the tracked state of its session.
type EffectKind int

// The effects. Each happens only if the statement succeeds, and those on
// settings and temporary tables are undone by a rollback; an engine that keeps
// them in any case stays on the safe side, except for Temp names.
const (
	SetPath        EffectKind = iota + 1 // search_path may have changed
	SetSetting                           // the setting Name may have changed
	PrepareName                          // PREPARE Name; Statement holds the facts
	DeallocateName                       // DEALLOCATE Name
	DeallocateAll                        // DEALLOCATE ALL
	DeclareCursor                        // DECLARE Name; Statement holds the facts
	CloseCursor                          // CLOSE Name
	CloseAll                             // CLOSE ALL
	DiscardAll                           // DISCARD ALL: everything but the connection is as new
	DiscardTemp                          // DISCARD TEMP
	CreateTemp                           // a table Name without tagged values: temporary, or new in this transaction
	DropName                             // the relation Name is gone, or no longer what CreateTemp said
	DDL                                  // the catalog must be loaded again
	Begin                                // BEGIN, START TRANSACTION
	Commit                               // COMMIT, END, PREPARE TRANSACTION
	Rollback                             // ROLLBACK, ABORT
	Savepoint                            // SAVEPOINT Name
	RollbackTo                           // ROLLBACK TO Name
	Release                              // RELEASE Name
	Listen                               // LISTEN Name
	Unlisten                             // UNLISTEN Name, or "*"
)

// Effect is one change of tracked state.
type Effect struct {
	Kind EffectKind
	Name string
	// Statement holds the facts of the inner statement of PREPARE and DECLARE.
	Statement *Statement
	// Alters, of a DDL: relations that existed before may have other columns or
	// names now, so that until the catalog shows it State.Stale must be set.
	Alters bool
	// Hold: a cursor WITH HOLD, which keeps its rows when the transaction and its locks have ended.
	Hold bool
	// Chain: COMMIT or ROLLBACK … AND CHAIN, which begins the next transaction.
	Chain bool
}
