package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Bounds of one answer to /v1/list.
const (
	defaultPage = 1000
	maxDays     = 400     // of the index; more are another page
	maxSkipped  = 200_000 // objects that come before the page: a store has no place to begin at
)

// list answers with names.
func (s *Server) list(x *exchange) *wire.Refusal {
	x.kind = kindList
	query, refusal := parameters(x.r, "prefix", "after", "namespace", "limit")
	if refusal != nil {
		return refusal
	}
	limit := defaultPage
	if v, ok := query["limit"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > wire.MaxPage {
			return badName("limit is not a number from 1 to "+strconv.Itoa(wire.MaxPage), "give one")
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
func (s *Server) page(ctx context.Context, l *listing, out *json.Encoder) (wire.Line, error) {
	prefixes, rest, err := s.prefixes(ctx, l)
	if err != nil {
		return wire.Line{}, err
	}
	last, written, skipped := "", 0, 0
	for _, prefix := range prefixes {
		for o, err := range s.o.Source.List(ctx, prefix) {
			if err == nil {
				err = ctx.Err()
			}
			switch {
			case err != nil:
				return wire.Line{}, err
			case o.Name <= l.after:
				if skipped++; skipped > maxSkipped {
					return wire.Line{}, fmt.Errorf("audit: more than %d objects come before the page", maxSkipped)
				}
				continue
			case !l.of(o.Name):
				continue
			case written == l.limit:
				return wire.Line{Next: last}, nil
			}
			if err := out.Encode(wire.Line{Name: o.Name, Size: o.Size, Time: o.Time}); err != nil {
				return wire.Line{}, err
			}
			last, written = o.Name, written+1
		}
	}
	return wire.Line{Next: rest, End: rest == ""}, nil
}

// prefixes are those that a list is made of, and what comes after them, if anything does. The index is listed day by day, so that a
// page begins at its day, and that one namespace can be listed without going through the others.
func (s *Server) prefixes(ctx context.Context, l *listing) (prefixes []string, rest string, err error) {
	if !l.daily {
		return []string{l.prefix}, "", nil
	}
	day, err := s.firstDay(ctx, l)
	if err != nil {
		return nil, "", err
	}
	end := s.o.Now().UTC()
	for ; !day.After(end); day = day.AddDate(0, 0, 1) {
		prefix := store.Index + day.Format(time.DateOnly)
		switch {
		case !strings.HasPrefix(prefix, l.prefix):
			continue
		case len(prefixes) == maxDays:
			return prefixes, prefix, nil
		}
		prefix += "/"
		if l.namespace != "" {
			prefix += l.namespace + "/"
		}
		prefixes = append(prefixes, prefix)
	}
	for _, later := range laterThan(end.Format(time.DateOnly)) {
		if later = store.Index + later; strings.HasPrefix(later, l.prefix) {
			prefixes = append(prefixes, later)
		} else if strings.HasPrefix(l.prefix, later) {
			prefixes = append(prefixes, l.prefix)
		}
	}
	return prefixes, "", nil
}

// laterThan returns, in their order, what days begin with that are later than one. A session whose sidecar had its clock ahead must
// not be hidden by that.
func laterThan(day string) (out []string) {
	for i := len(day) - 1; i >= 0; i-- {
		if day[i] == '-' {
			continue
		}
		for digit := day[i] + 1; digit <= '9'; digit++ {
			out = append(out, day[:i]+string(rune(digit)))
		}
	}
	return out
}

// of reports whether an entry of the index is one of those that the list is about.
func (l *listing) of(name string) bool {
	if !l.daily || l.namespace == "" {
		return true
	}
	session, ok := parseEntry(name)
	return ok && session.Namespace == l.namespace
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
func (s *Server) key(x *exchange) *wire.Refusal {
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
	answer(x.w, http.StatusOK, wire.Key{})
	return nil
}

// known checks a session's names, and that the caller may do something with it.
func (s *Server) known(x *exchange, session store.Session, verb string) *wire.Refusal {
	if !session.Valid() || !namespacePattern.MatchString(session.Namespace) {
		return badName("namespace, uid and session do not name a session", "give those of its segments' names: recordings/NAMESPACE/UID/SESSION/")
	}
	x.about = append(x.about, "namespace", session.Namespace, "pod", session.UID, "session", session.ID)
	return s.rights.need(x.r.Context(), x.user, right{verb, session.Namespace})
}
