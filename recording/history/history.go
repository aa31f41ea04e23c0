// Package history finds sessions in a store by what its index says of them.
//
// It must not know who asks, nor read a recording: an entry is the operator's summary, which recordings prove and it does not.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Bounds of a search.
const (
	// MaxDays is how many days are looked at.
	MaxDays = 3660
	// maxEntry is how large an entry may be, in bytes.
	maxEntry = 1 << 20
	// parallel is how many entries are read at the same time.
	parallel = 16
)

// ErrTime is returned for a time that a search cannot have.
var ErrTime = errors.New("a search begins before it ends, and spans at most 3,660 days")

// Query says which sessions are looked for. What is empty is not asked about; From and To must be set.
type Query struct {
	// From and To bound when sessions went on: one is found that began before To, at most Lead before From, and had an event at or
	// after From.
	From, To time.Time
	// Lead is how long sessions may have gone on before From; 0 means seven days.
	Lead                                  time.Duration
	Namespace, Pod, User, ServiceAccount  string
	Table, Tag, Rule, Session, DataSource string // Table and Rule also without schema and policy
	Denied, Alarms                        bool
}

// Matches reports whether an entry is one that is looked for.
func (q *Query) Matches(e *index.Entry) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	switch {
	case !e.Began.Before(q.To) || e.Last.Before(q.From):
	case !is(q.Namespace, e.Namespace), !is(q.Pod, e.Pod), !is(q.Session, e.Session), !is(q.DataSource, e.DataSource), !is(q.ServiceAccount, e.ServiceAccount):
	case q.User != "" && q.User != e.User && q.User != e.Application && q.User != e.ServiceAccount:
	case !named(q.Table, ".", e.Tables), !named(q.Rule, "/", e.Rules), q.Tag != "" && !slices.Contains(e.Tags, q.Tag):
	case q.Denied && e.Denied == 0, q.Alarms && e.Alarms == 0:
	default:
		return true
	}
	// Where names were left out of an entry, what is asked for may be among them.
	return e.More && (q.Table != "" || q.Tag != "" || q.Rule != "") && q.withoutNames().Matches(e)
}

func (q *Query) withoutNames() *Query {
	c := *q
	c.Table, c.Tag, c.Rule = "", "", ""
	return &c
}

// named reports whether a name is in a list, be it whole or what follows its last separator.
func named(want, separator string, list []string) bool {
	return want == "" || slices.ContainsFunc(list, func(have string) bool { return have == want || strings.HasSuffix(have, separator+want) })
}

// Search goes through the sessions that match, by the days on which they began, and within one by name. It ends with the first error: what is
// not readable might be what is looked for.
func Search(ctx context.Context, from store.Source, q Query) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		lead := q.Lead
		if lead <= 0 {
			lead = 7 * 24 * time.Hour
		}
		first := q.From.UTC().Add(-lead).Truncate(24 * time.Hour)
		if q.From.IsZero() || !q.From.Before(q.To) || q.To.Sub(first) > MaxDays*24*time.Hour {
			yield(index.Entry{}, ErrTime)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for day := first; day.Before(q.To); day = day.AddDate(0, 0, 1) {
			prefix := store.Index + day.Format(time.DateOnly) + "/"
			if q.Namespace != "" {
				prefix += q.Namespace + "/"
			}
			if !searchDay(ctx, from, prefix, &q, yield) {
				return
			}
		}
	}
}

// found is an entry that was read, or why not.
type found struct {
	entry index.Entry
	err   error
}

// searchDay reads the entries of a day, some at a time, and hands them on in their order.
func searchDay(ctx context.Context, from store.Source, prefix string, q *Query, yield func(index.Entry, error) bool) bool {
	var queue []chan found
	take := func() bool {
		f := <-queue[0]
		queue = queue[1:]
		switch {
		case f.err != nil:
			yield(index.Entry{}, f.err)
			return false
		case q.Matches(&f.entry):
			return yield(f.entry, nil)
		}
		return true
	}
	for o, err := range from.List(ctx, prefix) {
		if err != nil {
			yield(index.Entry{}, err)
			return false
		}
		if len(queue) == parallel && !take() {
			return false
		}
		c := make(chan found, 1)
		queue = append(queue, c)
		go func() {
			e, err := read(ctx, from, o.Name)
			c <- found{e, err}
		}()
	}
	for len(queue) > 0 {
		if !take() {
			return false
		}
	}
	return true
}

// read reads an entry, and makes sure that it stands under its own name.
func read(ctx context.Context, from store.Source, name string) (e index.Entry, err error) {
	r, err := from.Open(ctx, name)
	if err != nil {
		return e, fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxEntry+1))
	if err == nil && len(b) > maxEntry {
		err = fmt.Errorf("it is larger than %d bytes", maxEntry)
	}
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return e, fmt.Errorf("%s: %w", name, err)
	}
	if s := Name(&e); !s.Valid() || s.Entry(e.Began) != name {
		return e, fmt.Errorf("%s: the entry is of another session or day", name)
	}
	return e, nil
}

// Name is the session of an entry, as the store knows it.
func Name(e *index.Entry) store.Session {
	return store.Session{Namespace: e.Namespace, UID: e.UID, ID: e.Session}
}
