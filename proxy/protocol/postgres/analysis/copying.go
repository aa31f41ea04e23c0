package analysis

// Copy describes the data of a COPY between client and server (PostgreSQL
// documentation, COPY).
type Copy struct {
	Out       bool   // TO STDOUT; otherwise FROM STDIN
	Format    string // "text", "csv" or "binary"
	Delimiter byte
	Quote     byte   // csv
	Escape    byte   // csv
	Null      string // how NULL is written
	Header    bool   // the first line holds names
	// ForceQuoteAll: FORCE_QUOTE *; ForceQuote: the columns it names.
	ForceQuoteAll bool
	ForceQuote    []string
	// Columns in the order of the data; nil = not known, then Statement.Derived
	// counts for every value.
	Columns []CopyColumn
}

// CopyColumn is one column of COPY data. RelOID, Num and TypeOID are 0 where
// they are not known.
type CopyColumn struct {
	Name    string
	RelOID  uint32
	Num     int16
	TypeOID uint32
	Tags    []string
	Derived bool
}
