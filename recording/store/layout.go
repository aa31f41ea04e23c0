// Package store is the bucket of recordings: how its objects are named, and how one is opened, be it a folder or an object
// store. The operator writes it; auditors read it.
//
//	recordings/<namespace>/<pod UID>/<session>/00000001.tws   segments
//	keys/<namespace>/<pod UID>/<session>.json                 the session's key, wrapped; deleting it erases the session
//	index/<yyyy-mm-dd>/<namespace>/<pod UID>/<session>.json   what was in the session, by the day (UTC) it began
//	log/…                                                     the log over all sessions (package ledger)
//
// It must not know what is in a recording.
package store

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// The folders of a bucket.
const (
	Recordings = "recordings/"
	Keys       = "keys/"
	Index      = "index/"
	Log        = "log/"
)

var (
	sessionPattern = regexp.MustCompile(`^[a-z0-9-][a-z0-9.-]{0,127}$`)
	partPattern    = regexp.MustCompile(`^[a-zA-Z0-9-]{1,64}$`)
)

// Session names a session in the store.
type Session struct{ Namespace, UID, ID string }

// Valid reports whether its names can be part of objects' names. Nothing else may be given to the functions here.
func (s Session) Valid() bool {
	return partPattern.MatchString(s.Namespace) && partPattern.MatchString(s.UID) && sessionPattern.MatchString(s.ID) && !strings.Contains(s.ID, "..")
}

// Folder is what the names of the session's segments begin with.
func (s Session) Folder() string { return path.Join(Recordings, s.Namespace, s.UID, s.ID) + "/" }

// Segment is the name of a segment, which are numbered from 1.
func (s Session) Segment(n uint64) string {
	return s.Folder() + fmt.Sprintf("%08d", n) + recording.SegmentExtension
}

// Key is the name of the session's key.
func (s Session) Key() string { return path.Join(Keys, s.Namespace, s.UID, s.ID) + ".json" }

// Entry is the name of the session's entry in the index.
func (s Session) Entry(began time.Time) string {
	return path.Join(Index, began.UTC().Format(time.DateOnly), s.Namespace, s.UID, s.ID) + ".json"
}

// ParseSegment reads the name of a segment.
func ParseSegment(name string) (s Session, n uint64, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 || parts[0]+"/" != Recordings {
		return s, 0, false
	}
	s = Session{Namespace: parts[1], UID: parts[2], ID: parts[3]}
	digits, ok := strings.CutSuffix(parts[4], recording.SegmentExtension)
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || !s.Valid() || s.Segment(n) != name {
		return s, 0, false
	}
	return s, n, true
}
