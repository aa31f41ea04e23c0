package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Options of an Engine, which serves one data source.
type Options struct {
	// DataSource is "namespace/name", for messages.
	DataSource string
	// Database is the only database that clients may name.
	Database string
	// ClientTLS is offered to clients; nil: clients are told that there is none.
	ClientTLS *tls.Config
	// Classifications put tags on columns.
	Classifications []catalog.Classification
	// Acquired tags, of columns that other sidecars have seen protected values written to.
	Acquired []catalog.Acquired
	// Keep makes acquired tags known beyond this process; nil: nobody has to know.
	Keep func(ctx context.Context, acquired []catalog.Acquired) error
	// Trusted user functions, see analysis.Options.
	Trusted []string
	// Core settings of every connection.
	Core core.Settings
}

// Engine speaks PostgreSQL for one data source. It is safe for concurrent use.
type Engine struct {
	opt     Options
	catalog catalogCache
	cancels cancelKeys
	facts   factCache
	flights flights
	trusted atomic.Pointer[[]string]
	planned atomic.Pointer[planFor]
	keeping atomic.Bool

	estimates estimates
}

// New returns an engine.
func New(opt Options) *Engine {
	e := &Engine{opt: opt, catalog: catalogCache{dataSource: opt.DataSource}}
	e.catalog.loaded = e.keepLater
	e.Reclassify(opt.Classifications, opt.Acquired, opt.Trusted)
	return e
}

// Reclassify puts other tags on columns and trusts other functions. The catalog is
// loaded again before the next statement, whichever connection it comes on: what
// was understood under the old tags is forgotten, and if the catalog cannot be had,
// nothing is decided.
func (e *Engine) Reclassify(classifications []catalog.Classification, acquired []catalog.Acquired, trusted []string) {
	e.trusted.Store(&trusted) // first: whoever sees the new catalog has to see it as well
	e.catalog.reclassify(classifications, acquired, trusted)
}

// Close ends the engine's own connection to the server. Sessions are not touched.
func (e *Engine) Close() { e.catalog.Close() }

// Name returns "postgres".
func (e *Engine) Name() string { return "postgres" }

// Accept reads a client's opening: encryption requests, then either a startup
// message or a cancel request.
func (e *Engine) Accept(ctx context.Context, client net.Conn) (session.Conversation, error) {
	o := opening{conn: client, tls: e.opt.ClientTLS}
	return o.accept(ctx, e)
}

// wrongDatabase is PostgreSQL's own refusal, so that drivers understand it.
func wrongDatabase(name string) error {
	return &openError{code: "3D000", message: fmt.Sprintf("database %q does not exist", name)}
}
