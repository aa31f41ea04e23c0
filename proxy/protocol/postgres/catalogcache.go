package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/login"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

const (
	catalogTimeout = 20 * time.Second
	probeEvery     = 5 * time.Second  // how long a change made past the proxy can go unseen
	idleCatalog    = 60 * time.Second // how long the catalog's connection outlives its last use
)

// catalogCache keeps the data source's catalog, loaded through a connection of
// its own that no client ever speaks on. It is safe for concurrent use.
type catalogCache struct {
	dataSource string
	outset     atomic.Pointer[outset]

	mu  sync.Mutex // held while loading: everybody waits for the same load
	now *catalog.Snapshot
	by  *outset // what now was made by
	// acquired are tags that columns have got from values written to them.
	acquired []catalog.Acquired
	kept     []catalog.Acquired // of acquired, those that are known beyond this process
	loaded   func()             // called after each load, with the lock held
	epoch    uint64             // counts what has changed the tags, besides the database
	settled  uint64             // the epoch that every statement under way was decided in, or later
	conn     *pgconn.PgConn
	used     time.Time
	probed   time.Time
	mark     string // the database's state at the last load, see catalog.Probe
	quiet    string // the transactions that were under way before the last probe, see catalog.Transactions
	reaper   *time.Timer
}

// outset is what the owner says of the database, from which tags spread.
type outset struct {
	classifications []catalog.Classification
	acquired        []catalog.Acquired
	trusted         []string
}

// reclassify puts another outset in force: a catalog that was made by an older one
// is not used any more. It does not wait for a load that is under way.
func (c *catalogCache) reclassify(classifications []catalog.Classification, acquired []catalog.Acquired, trusted []string) {
	c.outset.Store(&outset{classifications, acquired, trusted})
}

// usable reports whether there is a catalog that is made by the outset in force. It
// is called with the lock held.
func (c *catalogCache) usable() bool { return c.now != nil && c.by == c.outset.Load() }

// get returns the catalog, loading it where there is none, where the caller knows
// that it has changed, or where a probe says so.
func (c *catalogCache) get(ctx context.Context, s *session.Session, changed bool) (*catalog.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.usable() && !changed && time.Since(c.probed) < probeEvery {
		return c.now, nil
	}
	return c.load(ctx, s, changed)
}

// within returns the catalog as it was no longer ago than that; 0 means now.
func (c *catalogCache) within(ctx context.Context, s *session.Session, ago time.Duration) (*catalog.Snapshot, error) {
	since := time.Now().Add(-ago)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.usable() && c.probed.After(since) { // maybe by somebody who asked while this waited for the lock
		return c.now, nil
	}
	return c.load(ctx, s, false)
}

// fresh returns the catalog as it is now, not as it was up to probeEvery ago, and
// which of the names are there.
func (c *catalogCache) fresh(ctx context.Context, s *session.Session, names []catalog.Name) (*catalog.Snapshot, map[catalog.Name][]string, error) {
	asked := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.usable() || c.conn == nil || c.conn.IsClosed() || c.probed.Before(asked) {
		if _, err := c.load(ctx, s, false); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	homes, err := catalog.Homes(ctx, c.conn, names)
	if err != nil {
		c.close()
		return nil, nil, unreadableCatalog(err)
	}
	return c.now, homes, nil
}

// load brings the catalog up to date. It is called with the lock held.
func (c *catalogCache) load(ctx context.Context, s *session.Session, changed bool) (*catalog.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	err := c.refresh(ctx, s, changed)
	if err != nil && c.conn != nil { // the connection may simply have gone stale
		c.close()
		err = c.refresh(ctx, s, true)
	}
	var refused *openError
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		c.close()
		return nil, unreadableCatalog(err)
	}
	return c.now, nil
}

func unreadableCatalog(err error) *access.Denial {
	return &access.Denial{
		Code: access.CodeUnavailable, Cause: err,
		What: "tidewaiter: the database's catalog could not be read, so nothing can be decided",
		Hint: "Check that the DataSource's server runs and that its user may read pg_catalog.",
	}
}

func (c *catalogCache) refresh(ctx context.Context, s *session.Session, changed bool) error {
	if err := c.connect(ctx, s); err != nil {
		return err
	}
	c.used = time.Now()
	asked := c.used
	quiet, err := catalog.Transactions(ctx, c.conn)
	if err != nil {
		return err
	}
	if c.usable() && !changed && quiet == c.quiet { // nothing at all has been committed
		c.probed = asked
		return nil
	}
	mark, err := catalog.Probe(ctx, c.conn)
	if err != nil {
		return err
	}
	if !c.usable() || changed || mark != c.mark {
		by := c.outset.Load()
		if by != c.by {
			c.epoch++
		}
		next, err := catalog.LoadWith(ctx, c.conn, catalog.Options{
			Classifications: by.classifications, Trusted: by.trusted, Previous: c.now, Acquired: c.wanted(by), Epoch: c.epoch, Views: analysis.ViewTags,
		})
		if err != nil {
			return err
		}
		c.now, c.by, c.mark, c.acquired = next, by, mark, next.Acquired()
		if len(c.acquired) > 0 {
			c.loaded()
		}
	}
	c.probed, c.quiet = asked, quiet
	return nil
}

// connect makes sure that there is a connection, and that it ends some time after
// its last use.
func (c *catalogCache) connect(ctx context.Context, s *session.Session) error {
	if c.conn != nil && !c.conn.IsClosed() {
		return nil
	}
	up, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	settings := map[string]string{"application_name": "tidewaiter catalog"}
	for name, value := range pinned {
		settings[name] = value
	}
	conn, err := login.Connect(ctx, up, settings)
	if err != nil {
		up.Conn.Close()
		return upstreamError(c.dataSource, err)
	}
	c.conn, c.quiet = conn, "" // it may be another server's
	if c.reaper == nil {
		c.reaper = time.AfterFunc(idleCatalog, c.reap)
	} else {
		c.reaper.Reset(idleCatalog)
	}
	return nil
}

// reap closes a connection that has not been used for a while.
func (c *catalogCache) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := idleCatalog - time.Since(c.used); left > 0 && c.conn != nil {
		c.reaper.Reset(left)
		return
	}
	c.close()
}

func (c *catalogCache) close() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx) // it is given up either way
	c.conn = nil
}

// Close ends the catalog's connection.
func (c *catalogCache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaper != nil {
		c.reaper.Stop()
	}
	c.close()
}
