package ship

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// segment is one that waits to be sent, or is being sent.
type segment struct {
	number uint64
	path   string
	size   int64
	sum    []byte // SHA-256; nil: not known yet
	sent   int64  // bytes that the operator has, by its last word
}

// lane is the segments of a recording that wait, in their order.
type lane struct {
	name
	segments []*segment // guarded by the spool's mu
	again    time.Time  // when the first is offered again
	rejected string     // why the operator does not want it; it stays, and takes room until somebody has looked
}

// segmentPath is where a segment of a recording stands. Sessions may have dots in their names, segments have none.
func (s *Spool) segmentPath(n name, number uint64) string {
	return s.path(n, fmt.Sprintf(".%08d%s", number, recording.SegmentExtension))
}

// segmentOf reads the name of a segment's file.
func segmentOf(path string) (session string, number uint64, ok bool) {
	base, ok := strings.CutSuffix(filepath.Base(path), recording.SegmentExtension)
	if !ok {
		return "", 0, false
	}
	dot := strings.LastIndexByte(base, '.')
	if dot < 1 {
		return "", 0, false
	}
	number, err := strconv.ParseUint(base[dot+1:], 10, 64)
	return base[:dot], number, err == nil && number > 0
}

// push lets a segment wait behind the others of its recording. s.mu is held.
func (s *Spool) push(n name, g *segment) {
	key := n.dataSource + "/" + n.session
	e := s.lanes[key]
	if e == nil {
		e = s.line.PushBack(&lane{name: n})
		s.lanes[key] = e
	}
	l := e.Value.(*lane)
	l.segments = append(l.segments, g)
	if len(l.segments) > 1 && l.segments[len(l.segments)-2].number > g.number { // as they are found in a folder
		slices.SortFunc(l.segments, func(a, b *segment) int { return int(a.number) - int(b.number) })
	}
}

// pop takes the first segment of a lane away, and the lane with its last. s.mu is held.
func (s *Spool) pop(l *lane) {
	if l.segments = l.segments[1:]; len(l.segments) > 0 {
		return
	}
	key := l.dataSource + "/" + l.session
	s.line.Remove(s.lanes[key])
	delete(s.lanes, key)
}
