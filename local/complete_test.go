package local_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	encbinary "encoding/binary"
	"hash"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/stream"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// sum counts and hashes rows, of which each value stands by itself.
type sum struct {
	hash.Hash
	rows int
}

func newSum() *sum { return &sum{Hash: sha256.New()} }

func (s *sum) row(values ...[]byte) {
	s.rows++
	for _, v := range values {
		_, _ = s.Write(append(v[:len(v):len(v)], 0))
	}
}

// copied is COPY's output as it comes, cut into lines.
type copied struct {
	*sum
	rest []byte
}

func (c *copied) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		line, rest, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		c.row(bytes.Split(line, []byte("\t"))...)
		c.rest = append(c.rest[:0:0], rest...)
	}
}

// TestEveryRowThatAClientGotIsRecorded compares what a client got with what the recording has, row by row: a COPY of a million rows,
// and a pipeline of the extended protocol with binary results. A value that is recorded in part must say so.
func TestEveryRowThatAClientGotIsRecorded(t *testing.T) {
	const million = 1_000_000
	database := postgrestest.Shared(t).NewDatabase(t, shopSQL+"CREATE TABLE big AS SELECT g AS id, 'row ' || g AS name FROM generate_series(1, 1000000) g;")
	p := start(t, local.Options{Set: shop(t, database, "statements: [Select, BulkSelect, Session]", "statements: [Select, BulkSelect, CopyOut, Session]")})
	conn := connect(t, p.Endpoints()[0].ConnectionString())
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	out := &copied{sum: newSum()}
	if _, err := conn.CopyTo(ctx, out, "COPY big TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	binary := newSum()
	pipeline := conn.StartPipeline(ctx)
	for range 20 {
		pipeline.SendQueryParams("SELECT id, name FROM big WHERE id <= 500 ORDER BY id", nil, nil, nil, []int16{1, 1})
	}
	pipeline.SendQueryParams("SELECT 1, repeat('x', 100000)", nil, nil, nil, []int16{1, 0})
	if err := pipeline.Sync(); err != nil {
		t.Fatal(err)
	}
	results, err := pipeline.GetResults()
	for ; err == nil && results != nil; results, err = pipeline.GetResults() {
		rows, ok := results.(interface {
			NextRow() bool
			Values() [][]byte
		})
		for ok && rows.NextRow() {
			if v := rows.Values(); len(v[1]) < 100_000 { // an int4 is recorded as the number that it is
				binary.row([]byte(strconv.Itoa(int(encbinary.BigEndian.Uint32(v[0])))), v[1])
			}
		}
		if !ok {
			break
		}
	}
	if err := pipeline.Close(); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(ctx)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	compareRecorded(t, p.Summary().Recordings[0], out.sum, binary, million)
}

func compareRecorded(t *testing.T, file string, copied, binary *sum, million int) {
	t.Helper()
	r, err := stream.Open(t.Context(), file, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, bin, cut := newSum(), newSum(), 0
	copying := map[int64]bool{}
	for rec, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		e := &rec.Event
		if e.Decided != nil && strings.HasPrefix(e.Decided.Text, "COPY") {
			copying[e.Statement] = true
		}
		if e.Rows == nil {
			continue
		}
		for _, row := range e.Rows.Values {
			values, whole := raw(row)
			switch {
			case !whole:
				cut++
			case copying[e.Statement]:
				text.row(values...)
			default:
				bin.row(values...)
			}
		}
	}
	if copied.rows != million || text.rows != million || !bytes.Equal(text.Sum(nil), copied.Sum(nil)) {
		t.Errorf("of %d rows that COPY gave, %d are recorded; alike: %v", copied.rows, text.rows, bytes.Equal(text.Sum(nil), copied.Sum(nil)))
	}
	if binary.rows != 20*500 || bin.rows != binary.rows || !bytes.Equal(bin.Sum(nil), binary.Sum(nil)) || cut != 1 {
		t.Errorf("of %d binary rows, %d are recorded, and %d in part where 1 should be", binary.rows, bin.rows, cut)
	}
	if r.Report().State != recording.Complete {
		t.Error(r.Report())
	}
}

// raw are the bytes of a row's values, and whether all of them are there.
func raw(row []access.Value) (out [][]byte, whole bool) {
	whole = true
	for _, v := range row {
		whole = whole && v.Size == 0
		if b := v.Binary; len(b) > 0 {
			out = append(out, b)
		} else {
			out = append(out, bytes.Split([]byte(strings.TrimSuffix(v.Text, "\n")), []byte("\t"))...) // a line of COPY is one value
		}
	}
	return out, whole
}
