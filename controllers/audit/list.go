package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Bounds of one answer to /v1/list.
const (
	defaultPage = 1000
	maxPage     = 10_000
	maxDays     = 400     // of the index; more are another page
	maxScanned  = 200_000 // objects that come before the page, which stores without a place to begin at go through
)

// Line is a line of a list: an object, or the last line.
type Line struct {
	Name string    `json:"name,omitempty"`
	Size int64     `json:"size,omitempty"`
	Time time.Time `json:"time,omitzero"`
	// Next is, on the last line, what to give as after for more.
	Next string `json:"next,omitempty"`
	// End is true on the last line of the last page. A list whose last line has neither Next nor End was cut off.
	End bool `json:"end,omitempty"`
}

// list answers with names.
func (s *Server) list(x *exchange) *Refusal {
	x.kind = kindList
	query, refusal := parameters(x.r, "prefix", "after", "namespace", "limit")
	if refusal != nil {
		return refusal
	}
	limit := defaultPage
	if v, ok := query["limit"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxPage {
			return badName("limit is not a number from 1 to "+strconv.Itoa(maxPage), "give one")
		}
		limit = n
	}
	l, refusal := parseListing(query["prefix"], query["namespace"], query["after"], limit)
	if refusal != nil {
		return refusal
	}
	x.about = append(x.about, "prefix", l.prefix, "namespace", l.namespace)
	ctx := x.r.Context()
	if refusal := s.rights.need(ctx, x.user, l.need()); refusal != nil {
		return refusal
	}
	x.w.Header().Set("Content-Type", "application/jsonl")
	out := bufio.NewWriterSize(x, 64<<10)
	last, err := s.page(ctx, l, json.NewEncoder(out))
	if err == nil {
		err = json.NewEncoder(out).Encode(last)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return s.failed(x, err)
	}
	return nil
}

// page writes the objects of a page and returns the last line.
func (s *Server) page(ctx context.Context, l *listing, out *json.Encoder) (Line, error) {
	written, scanned := 0, 0
	next := ""
	for prefix, err := range s.prefixes(ctx, l, &next) {
		if err != nil {
			return Line{}, err
		}
		for o, err := range s.o.Source.List(ctx, prefix) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return Line{}, err
			}
			if o.Name <= l.after {
				if scanned++; scanned > maxScanned {
					return Line{}, fmt.Errorf("audit: more than %d objects come before the page: list a longer prefix", maxScanned)
				}
				continue
			}
			if written == limitOf(l) {
				return Line{Next: next}, nil
			}
			if err := out.Encode(Line{Name: o.Name, Size: o.Size, Time: o.Time}); err != nil {
				return Line{}, err
			}
			written++
			next = o.Name
		}
	}
	if next != "" && strings.HasSuffix(next, more) {
		return Line{Next: strings.TrimSuffix(next, more)}, nil
	}
	return Line{End: true}, nil
}

func limitOf(l *listing) int { return l.limit }

// more ends what prefixes leaves in next where there are more days than one page takes.
const more = "/more"

// prefixes are those that a list is made of. That of the index is listed day by day, so that a page begins at its day, and that one
// namespace can be listed without going through the others.
func (s *Server) prefixes(ctx context.Context, l *listing, next *string) iter.Seq2[string, error] {
	if !l.daily {
		return func(yield func(string, error) bool) { yield(l.prefix, nil) }
	}
	return func(yield func(string, error) bool) {
		day, err := s.firstDay(ctx, l)
		if err != nil {
			yield("", err)
			return
		}
		end := s.o.Now().UTC().Add(24 * time.Hour) // a sidecar's clock may be ahead
		for n := 0; !day.After(end); n, day = n+1, day.AddDate(0, 0, 1) {
			prefix := store.Index + day.Format(time.DateOnly)
			if !strings.HasPrefix(prefix, l.prefix) {
				continue
			}
			if n > maxDays {
				*next = prefix + more
				return
			}
			prefix += "/"
			if l.namespace != "" {
				prefix += l.namespace + "/"
			}
			if !yield(prefix, nil) {
				return
			}
		}
	}
}

// firstDay is the day of the index at which a list begins.
func (s *Server) firstDay(ctx context.Context, l *listing) (time.Time, error) {
	if after, ok := strings.CutPrefix(l.after, store.Index); ok && len(after) >= len(time.DateOnly) {
		if day, err := time.Parse(time.DateOnly, after[:len(time.DateOnly)]); err == nil {
			return day, nil
		}
	}
	for o, err := range s.o.Source.List(ctx, l.prefix) {
		if err != nil {
			return time.Time{}, err
		}
		name := strings.TrimPrefix(o.Name, store.Index)
		if day, err := time.Parse(time.DateOnly, name[:min(len(name), len(time.DateOnly))]); err == nil {
			return day, nil
		}
	}
	return s.o.Now().UTC().AddDate(0, 0, 2), nil // there is nothing
}

// key answers whether a session was erased.
func (s *Server) key(x *exchange) *Refusal {
	x.kind = kindKey
	query, refusal := parameters(x.r, "namespace", "uid", "session")
	if refusal != nil {
		return refusal
	}
	session := store.Session{Namespace: query["namespace"], UID: query["uid"], ID: query["session"]}
	if refusal := s.known(x, session, verbRead); refusal != nil {
		return refusal
	}
	_, err := s.o.Source.Identity(x.r.Context(), session)
	if err != nil {
		return s.failed(x, err)
	}
	x.begun = true
	answer(x.w, http.StatusOK, struct {
		Erased bool `json:"erased"`
	}{false})
	return nil
}

// known checks a session's names, and that the caller may do something with it.
func (s *Server) known(x *exchange, session store.Session, verb string) *Refusal {
	if !session.Valid() || !namespacePattern.MatchString(session.Namespace) {
		return badName("namespace, uid and session do not name a session", "give those of its segments' names: recordings/NAMESPACE/UID/SESSION/")
	}
	x.about = append(x.about, "namespace", session.Namespace, "pod", session.UID, "session", session.ID)
	return s.rights.need(x.r.Context(), x.user, right{verb, session.Namespace})
}
