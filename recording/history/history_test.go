package history_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording/history"
	"github.com/tidewaiter/tidewaiter/recording/recordingtest"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// shop has 60 sessions, one every six hours, of three namespaces in turn; every tenth reads tagged customers and is denied something.
func shop(t *testing.T) *recordingtest.Store {
	s := recordingtest.NewStore(t)
	for i := range 60 {
		at := noon.Add(time.Duration(i) * 6 * time.Hour)
		d := &access.Decided{Effect: "Allow", Policy: "data/p", Rule: "read", Resources: []string{"Read public.orders"}}
		if i%10 == 0 {
			d = &access.Decided{Effect: "Deny", Policy: "data/p", Rule: "none", Resources: []string{"Read public.customers"}, Tags: []string{"pii/ssn"}}
		}
		s.Add(t, store.Session{Namespace: []string{"shop", "web", "lab"}[i%3], UID: "u", ID: fmt.Sprintf("s-%02d", i)}, []access.Event{
			{Kind: access.EventOpened, Time: at, Opened: &access.Opened{DataSource: "data/orders", Identity: access.Identity{Pod: fmt.Sprintf("pod-%d", i%2)}, Hello: access.Hello{User: "reader"}}},
			{Kind: access.EventDecided, Time: at, Statement: 1, Decided: d},
			{Kind: access.EventClosed, Time: at.Add(time.Hour), Closed: &access.Closed{}},
		}, 100)
	}
	return s
}

func search(t *testing.T, from store.Source, q history.Query) (ids []string, err error) {
	for e, err := range history.Search(t.Context(), from, q) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, e.Session)
	}
	slices.Sort(ids)
	return ids, nil
}

func TestASearchFindsWhatIsAskedForAndNothingElse(t *testing.T) {
	s := shop(t)
	all := history.Query{From: noon, To: noon.AddDate(0, 1, 0)}
	with := func(change func(*history.Query)) history.Query { q := all; change(&q); return q }
	for what, c := range map[string]struct {
		q    history.Query
		want int
		all  string
	}{
		"everything":                   {all, 60, ""},
		"of a namespace":               {with(func(q *history.Query) { q.Namespace = "web" }), 20, ""},
		"of a pod":                     {with(func(q *history.Query) { q.Pod = "pod-1" }), 30, ""},
		"of a table":                   {with(func(q *history.Query) { q.Table = "public.customers" }), 6, ""},
		"of a table without schema":    {with(func(q *history.Query) { q.Table = "customers" }), 6, ""},
		"of another table":             {with(func(q *history.Query) { q.Table = "omers" }), 0, ""},
		"of a tag":                     {with(func(q *history.Query) { q.Tag = "pii/ssn" }), 6, ""},
		"denied":                       {with(func(q *history.Query) { q.Denied = true }), 6, ""},
		"of a rule":                    {with(func(q *history.Query) { q.Rule = "data/p/read" }), 54, ""},
		"of a rule without its policy": {with(func(q *history.Query) { q.Rule = "none" }), 6, ""},
		"of nobody":                    {with(func(q *history.Query) { q.User = "nobody" }), 0, ""},
		"in one day":                   {with(func(q *history.Query) { q.From = noon.AddDate(0, 0, 1); q.To = q.From.AddDate(0, 0, 1) }), 4, "s-04 s-05 s-06 s-07"},
		"that went on at the time":     {with(func(q *history.Query) { q.From = noon.Add(30 * time.Minute); q.To = q.From.Add(time.Minute) }), 1, "s-00"},
	} {
		got, err := search(t, s, c.q)
		if err != nil || len(got) != c.want || c.all != "" && strings.Join(got, " ") != c.all {
			t.Errorf("%s: %d of %d, %v: %v", what, len(got), c.want, err, got)
		}
	}
}

func TestAnEntryThatCannotBeTrustedEndsTheSearchWithAnError(t *testing.T) {
	q := history.Query{From: noon, To: noon.AddDate(0, 1, 0)}
	for what, body := range map[string]string{"no JSON": "{", "another session's": `{"session":"x","namespace":"shop","uid":"u","began":"2026-11-20T12:00:00Z"}`, "a giant": strings.Repeat(" ", 2<<20)} {
		s := shop(t)
		s.Put(t, "index/2026-11-20/shop/u/s-00.json", []byte(body))
		if got, err := search(t, s, q); err == nil {
			t.Errorf("%s: %d were found without an error", what, len(got))
		}
	}
	if _, err := search(t, shop(t), history.Query{From: noon, To: noon}); !errors.Is(err, history.ErrTime) {
		t.Errorf("a search over no time: %v", err)
	}
}
