package core

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

const (
	digestedRows  = 4096    // rows that one event speaks of
	digestedBytes = 1 << 20 // or bytes
)

// rowDigest is what is recorded in place of a result's rows. It takes in the bodies of the DataRow or CopyData messages that
// go to the client, one behind the other: a DataRow's body says itself where it ends, and how COPY data is cut into messages
// means nothing.
type rowDigest struct {
	sum          hash.Hash // of the result from its beginning
	count, bytes int64     // since the last event
	told         bool      // an event was recorded, with the columns
}

// digest begins the digest of a result; nil where digests are not asked for.
func (c *Conn) digest() *rowDigest {
	if !c.set.DigestRows {
		return nil
	}
	return &rowDigest{sum: sha256.New()}
}

func (d *rowDigest) write(p []byte) {
	_, _ = d.sum.Write(p) // never fails, see hash.Hash
	d.bytes += int64(len(p))
}

// digestRow takes in the body of a message that goes to the client.
func (c *Conn) digestRow(a *answer, plan *rowPlan, body []byte) error {
	plan.digest.write(body)
	return c.digested(a, plan)
}

// digested counts a message that was taken in.
func (c *Conn) digested(a *answer, plan *rowPlan) error {
	d := plan.digest
	if d.count++; d.count >= digestedRows || d.bytes >= digestedBytes {
		return c.flushDigest(a, plan)
	}
	return nil
}

// recordPassing records a message of size bytes whose body goes to the client as it comes, in parts: its digest, or that it
// was there.
func (c *Conn) recordPassing(a *answer, plan *rowPlan, size int) error {
	if plan.digest == nil {
		return c.addRow(a, plan, []access.Value{{Size: int64(size)}})
	}
	c.digests = a
	return nil
}

// digestPassed ends a message that went to the client in parts.
func (c *Conn) digestPassed() error {
	a := c.digests
	if a == nil {
		return nil
	}
	c.digests = nil
	return c.digested(a, a.plan)
}

// flushDigest records the digest of the rows since the last event.
func (c *Conn) flushDigest(a *answer, plan *rowPlan) error {
	d := plan.digest
	if d.count == 0 {
		return nil
	}
	rows := &access.Rows{Digest: &access.RowsDigest{Count: d.count, Bytes: d.bytes, SHA256: hex.EncodeToString(d.sum.Sum(nil))}}
	if !d.told {
		rows.Columns = plan.columns()
	}
	d.count, d.bytes, d.told = 0, 0, true
	return a.exchange.Result(rows)
}
