package replay

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// digests are those of a statement's results, where rows are recorded so.
type digests struct {
	rows, bytes int64
	last        string // of the last result
}

func (d *digests) add(r *access.RowsDigest) {
	d.rows, d.bytes, d.last = d.rows+r.Count, d.bytes+r.Bytes, visible(r.SHA256, 64)
}

// line says what was recorded in place of rows, or nothing.
func (d *digests) line() string {
	if d.last == "" {
		return ""
	}
	return fmt.Sprintf("rows: %s, %s, sha256 %s", count(d.rows), size(d.bytes), d.last)
}
