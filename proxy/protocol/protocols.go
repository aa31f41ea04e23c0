// Package protocol is the explicit list of protocols that the proxy speaks. A new
// one is a folder beside this file and a line in New.
//
// It must not know policy, recordings or where settings come from.
package protocol

import (
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
	Trusted         []string // functions that the owner vouches for
	RecordRows      bool     // results go into the recording, as the client saw them
	MaskKey         []byte   // key of the Hash strategy, 32 bytes
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
	// statement of every open connection as well.
	Reclassify(classifications []Classification, trusted []string)
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
	return pg{postgres.New(postgres.Options{
		DataSource: s.DataSource, Database: s.Database, ClientTLS: s.ClientTLS, Trusted: s.Trusted,
		Classifications: forCatalog(s.Classifications),
		Core:            core.Settings{RecordRows: s.RecordRows, MaskKey: s.MaskKey},
	})}
}

// Reclassify puts other tags and trusted functions in force.
func (p pg) Reclassify(classifications []Classification, trusted []string) {
	p.Engine.Reclassify(forCatalog(classifications), trusted)
}

func forCatalog(in []Classification) []catalog.Classification {
	var out []catalog.Classification
	for _, c := range in {
		out = append(out, catalog.Classification{Columns: c.Columns, Tags: c.Tags})
	}
	return out
}
