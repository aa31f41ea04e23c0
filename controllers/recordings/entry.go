package recordings

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
)

// maxName is the longest name that an entry has, in bytes: with index.MaxNames of each sort, an entry stays below maxEntry.
const (
	maxName  = 200
	maxEntry = 1 << 20
)

// entry is a session's in the index, while it grows.
type entry struct{ index.Entry }

// cloneLists lets the entry grow apart from the one that it was copied from.
func (e *entry) cloneLists() {
	e.Tables, e.Tags, e.Rules, e.Kinds = slices.Clone(e.Tables), slices.Clone(e.Tags), slices.Clone(e.Rules), slices.Clone(e.Kinds)
}

// takeFrom is take with the records of a segment; it is false too where they cannot be read.
func (e *entry) takeFrom(seg *recording.Segment, pod Pod) bool {
	records, err := seg.Records(nil)
	return err == nil && e.take(&seg.Head, records, pod)
}

// take takes a segment's events into account, and reports whether the records are what their head says.
func (e *entry) take(h *recording.Head, records []byte, pod Pod) bool {
	if h.Segment == 1 {
		e.Session, e.DataSource, e.Began = h.Session, h.DataSource, h.From.UTC()
		e.Namespace, e.Pod, e.UID, e.ServiceAccount = pod.Namespace, pod.Name, pod.UID, pod.ServiceAccount
	}
	for rec, err := range h.Events(records) {
		if err != nil {
			return false
		}
		e.describe(&rec.Event)
		e.Add(&rec.Event)
	}
	e.Last, e.End, e.Segments, e.Chain = h.To.UTC(), string(h.End), h.Segment, h.Chain
	e.shorten()
	return true
}

// describe notes what a session says of itself at its ends. Who the pod is the operator knows better.
func (e *entry) describe(ev *access.Event) {
	switch {
	case ev.Opened != nil:
		e.User, e.Database, e.Application = clip(ev.Opened.Hello.User), clip(ev.Opened.Hello.Database), clip(ev.Opened.Hello.Application)
		if p := ev.Opened.Identity.Process; p != nil {
			e.Process = clip(p.Exe)
		}
	case ev.Closed != nil:
		e.Reason = clip(ev.Closed.Reason)
	}
}

// blank takes out what the session's content was about.
func (e *entry) blank() {
	e.User, e.Database, e.Application, e.Process, e.Reason = "", "", "", "", ""
	e.Tables, e.Tags, e.Rules, e.Kinds, e.More = nil, nil, nil, nil, true
}

// shorten leaves out names that are longer than those of any database: a sidecar could fill the index with them.
func (e *entry) shorten() {
	for _, names := range []*[]string{&e.Tables, &e.Tags, &e.Rules, &e.Kinds} {
		before := len(*names)
		*names = slices.DeleteFunc(*names, func(n string) bool { return len(n) > maxName })
		e.More = e.More || len(*names) < before
	}
}

func clip(s string) string {
	if len(s) > maxName {
		return s[:maxName]
	}
	return s
}
