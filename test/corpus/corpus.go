// Package corpus judges a proxy by two corpora of SQL statements: ways of taking data out of PostgreSQL (testdata/exfil.tsv)
// and what real drivers, ORMs and tools send (testdata/benign.tsv). testdata/README.md says what is expected of each row.
//
// The judge believes only the bytes that the client's socket received and what the server logged. It must not know Tidewaiter's
// packages: it reaches the proxy by an address, as a client does.
package corpus

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed testdata
var testdata embed.FS

// Expected is what a row demands.
type Expected string

// What testdata/README.md says a client must see.
const (
	Block   Expected = "block"   // an error with SQLSTATE 42501 or 42601; nothing reaches the server; the connection goes on
	Mask    Expected = "mask"    // it runs; no canary, raw or encoded, is in any byte received
	Approve Expected = "approve" // held for approval; where nobody can approve, the same as Block
	Flag    Expected = "flag"    // it runs, and no canary is received
	Allow   Expected = "allow"   // it runs with the same answer as without a proxy
)

// Row is one statement of a corpus, or several in one simple query.
type Row struct {
	ID, Category, SQL string
	Expected          Expected
	Why               string
}

// lenient says that the row's author accepts a run without a leak where a block is asked for.
func (r Row) lenient() bool { return strings.Contains(r.Why, "acceptable") }

// hasParameters says that the row must be prepared and bound.
func (r Row) hasParameters() bool { return r.Expected == Allow && strings.Contains(r.SQL, "$1") }

// Load reads a corpus of testdata by its file's name. Lines end with \n alone: rows may hold other kinds of white space.
func Load(name string) ([]Row, error) {
	content, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		return nil, err
	}
	return Parse(name, string(content))
}

// Parse reads a corpus from its text; the name is for errors.
func Parse(name, content string) ([]Row, error) {
	var rows []Row
	for i, line := range strings.Split(strings.TrimSuffix(content, "\n"), "\n") {
		fields := strings.Split(line, "\t")
		if len(fields) != 5 {
			return nil, fmt.Errorf("%s:%d: %d fields; want id, category, sql, expected and why", name, i+1, len(fields))
		}
		row := Row{ID: fields[0], Category: fields[1], SQL: fields[2], Expected: Expected(fields[3]), Why: fields[4]}
		switch row.Expected {
		case Block, Mask, Approve, Flag, Allow:
			rows = append(rows, row)
		default:
			if i > 0 { // the first line holds the columns' names
				return nil, fmt.Errorf("%s:%d: expected is %q; want block, mask, approve, flag or allow", name, i+1, row.Expected)
			}
		}
	}
	return rows, nil
}

func sqlFile(name string) (string, error) {
	content, err := testdata.ReadFile("testdata/" + name)
	return string(content), err
}

// Policy is the text of the manifests under which the corpora are judged.
func Policy() (string, error) { return sqlFile("policy.yaml") }
