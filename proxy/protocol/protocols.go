// Package protocol is the explicit list of protocols that the proxy speaks. A new
// one is a folder beside this file and a line in New.
//
// It must not know policy, recordings or where settings come from.
package protocol

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Settings are what a protocol must know of the data source that it serves.
type Settings struct {
	Protocol        string // "postgres"
	DataSource      string // "namespace/name"
	Database        string // the only one that clients may name
	ClientTLS       *tls.Config
	Classifications []Classification
	Acquired        []Acquired // see [Settings.Keep]
	Trusted         []string   // functions that the owner vouches for
	RecordRows      bool       // results go into the recording, as the client saw them
	DigestRows      bool       // digests of results do, whatever RecordRows says
	MaskKey         []byte     // key of the Hash strategy, 32 bytes
	// Keep makes tags that columns are about to acquire outlive this process and bind every other; nil: they are known
	// to this process alone. Nothing is written to the columns unless it returns nil.
	Keep func(ctx context.Context, acquired []Acquired) error
}

// Acquired are tags of a column that protected values were written to: of the column Number (0: every column) of the relation
// with that OID or, where Relation is 0, of every relation of that name, which need not be there yet.
type Acquired struct {
	Relation     uint32
	Number       int16
	Schema, Name string
	Tags         []string
}

// Classification puts tags on columns, by patterns "schema.table.column".
type Classification struct {
	Columns []string
	Tags    []string
}

// Protocol is a session.Protocol that holds something to be closed.
type Protocol interface {
	session.Protocol
	// Reclassify puts other tags and trusted functions in force, for the next
	// statement of every open connection as well. Acquired tags are added to those
	// that the protocol has seen itself.
	Reclassify(classifications []Classification, acquired []Acquired, trusted []string)
	Close()
}

// New returns the protocol that s names. A name that is not in the list is an
// error.
func New(s Settings) (Protocol, error) {
	switch s.Protocol {
	case "postgres":
		return newPostgres(s), nil
	default:
		return nil, fmt.Errorf("protocol: %q is not one of postgres", s.Protocol)
	}
}

// pg is the PostgreSQL engine with this package's own words.
type pg struct{ *postgres.Engine }

func newPostgres(s Settings) Protocol {
	var keep func(context.Context, []catalog.Acquired) error
	if s.Keep != nil {
		keep = func(ctx context.Context, acquired []catalog.Acquired) error {
			return s.Keep(ctx, convert[Acquired](acquired))
		}
	}
	return pg{postgres.New(postgres.Options{
		Keep: keep, Acquired: convert[catalog.Acquired](s.Acquired),
		DataSource: s.DataSource, Database: s.Database, ClientTLS: s.ClientTLS, Trusted: s.Trusted,
		Classifications: forCatalog(s.Classifications),
		Core:            core.Settings{RecordRows: s.RecordRows, DigestRows: s.DigestRows, MaskKey: s.MaskKey},
	})}
}

// Reclassify puts other tags and trusted functions in force.
func (p pg) Reclassify(classifications []Classification, acquired []Acquired, trusted []string) {
	p.Engine.Reclassify(forCatalog(classifications), convert[catalog.Acquired](acquired), trusted)
}

// convert makes values of one type those of another with the same fields.
func convert[To, From catalog.Acquired | Acquired](in []From) []To {
	var out []To
	for _, q := range in {
		out = append(out, To(q))
	}
	return out
}

func forCatalog(in []Classification) []catalog.Classification {
	var out []catalog.Classification
	for _, c := range in {
		out = append(out, catalog.Classification{Columns: c.Columns, Tags: c.Tags})
	}
	return out
}
