package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

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
}

// New returns an engine.
func New(opt Options) *Engine {
	return &Engine{opt: opt, catalog: catalogCache{dataSource: opt.DataSource, classifications: opt.Classifications, trusted: opt.Trusted}}
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
