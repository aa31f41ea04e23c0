package audit

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// maxName bounds names and prefixes, in bytes.
const maxName = 512

var (
	// Objects of the log are tiles, entries, pending leaves and checkpoints.
	namePattern      = regexp.MustCompile(`^[a-z]+/[A-Za-z0-9._/-]*$`)
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// The sorts of what is read, as metrics and log lines name them.
const (
	kindSegment = "Segment"
	kindIndex   = "Index"
	kindLog     = "Log"
	kindList    = "List"
	kindKey     = "Key"
	kindErase   = "Erase"
)

// object is one that somebody wants to read.
type object struct {
	kind    string
	name    string
	session store.Session // of a segment, or an entry of the index
	segment uint64        // its number
}

// need is the right to read it. The log is about every namespace.
func (o *object) need() right { return right{verbRead, o.session.Namespace} }

func badName(what, cure string) *wire.Refusal {
	return refuse(http.StatusBadRequest, wire.ReasonBadRequest, what+": "+cure)
}

// wellFormed refuses names that could mean something else to a store than they do here.
func wellFormed(name string) bool {
	return len(name) <= maxName && namePattern.MatchString(name) && !strings.Contains(name, "..") && !strings.Contains(name, "//") &&
		!strings.Contains(name, "/./") && !strings.HasSuffix(name, "/.")
}

// parseObject says what a name is of. Anything that it does not know is refused, and keys are.
func parseObject(name string) (*object, *wire.Refusal) {
	const cure = "names are as /v1/list gives them"
	if !wellFormed(name) || strings.HasSuffix(name, "/") {
		return nil, badName("name is not the name of an object", cure)
	}
	o := &object{name: name}
	switch {
	case strings.HasPrefix(name, store.Recordings):
		s, n, ok := store.ParseSegment(name)
		if !ok {
			return nil, badName("name is not the name of a segment", cure)
		}
		o.kind, o.session, o.segment = kindSegment, s, n
	case strings.HasPrefix(name, store.Index):
		s, ok := parseEntry(name)
		if !ok {
			return nil, badName("name is not the name of an entry of the index", cure)
		}
		o.kind, o.session = kindIndex, s
	case strings.HasPrefix(name, store.Log):
		o.kind = kindLog
		return o, nil
	default:
		return nil, badName("nothing but "+store.Recordings+", "+store.Index+" and "+store.Log+" is served", cure)
	}
	if !namespacePattern.MatchString(o.session.Namespace) {
		return nil, badName("name has no namespace", cure) // an empty one would ask for another right
	}
	return o, nil
}

// parseEntry reads the name of an entry of the index.
func parseEntry(name string) (s store.Session, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 {
		return s, false
	}
	day, err := time.Parse(time.DateOnly, parts[1])
	id, isJSON := strings.CutSuffix(parts[4], ".json")
	s = store.Session{Namespace: parts[2], UID: parts[3], ID: id}
	return s, err == nil && isJSON && s.Valid() && s.Entry(day) == name
}

// listing is a list that somebody wants.
type listing struct {
	prefix    string
	namespace string // that it is confined to; empty: all
	after     string
	limit     int
	daily     bool // the prefix is of the index, and of no namespace in it
}

func (l *listing) need() right { return right{verbRead, l.namespace} }

// parseListing says what a prefix is of. A prefix within a namespace needs the right there alone; any other one needs it everywhere,
// unless namespace confines it.
func parseListing(prefix, namespace, after string, limit int) (*listing, *wire.Refusal) {
	if !wellFormed(prefix) {
		return nil, badName("prefix is not the beginning of names", "give "+store.Recordings+", "+store.Index+" or "+store.Log+", or longer")
	}
	if namespace != "" && !namespacePattern.MatchString(namespace) {
		return nil, badName("namespace is not one", "give the name of a namespace, or leave it out")
	}
	if after != "" && !wellFormed(after) {
		return nil, badName("after is not a name", "give what next said")
	}
	l := &listing{prefix: prefix, namespace: namespace, after: after, limit: limit}
	var inside string // the namespace that the prefix is within
	switch {
	case strings.HasPrefix(prefix, store.Recordings):
		rest := prefix[len(store.Recordings):]
		inside = first(rest)
		if namespace != "" && rest == "" {
			l.prefix, inside = prefix+namespace+"/", namespace
		}
	case strings.HasPrefix(prefix, store.Index):
		day, rest, ok := strings.Cut(prefix[len(store.Index):], "/")
		l.daily = !ok
		if inside = first(rest); ok && rest == "" && namespace != "" {
			l.prefix, inside = store.Index+day+"/"+namespace+"/", namespace
		}
	case strings.HasPrefix(prefix, store.Log):
		if namespace != "" {
			return nil, badName("the log is about all namespaces", "leave namespace out")
		}
		return l, nil
	default:
		return nil, badName("nothing but "+store.Recordings+", "+store.Index+" and "+store.Log+" is served", "list one of these")
	}
	switch {
	case l.daily: // each day is listed by itself, confined where a namespace is given
	case inside == "" && namespace != "":
		return nil, badName("prefix ends within the name of a namespace", "end it with / before or after it, or leave namespace out")
	case inside != "" && namespace != "" && inside != namespace:
		return nil, badName("prefix is of another namespace than "+namespace, "leave namespace out")
	case inside != "" && !namespacePattern.MatchString(inside):
		return nil, badName("prefix has no namespace", "give one")
	default:
		l.namespace = inside
	}
	return l, nil
}

// first is the first part of a path, where a slash ends it.
func first(path string) string {
	part, _, ok := strings.Cut(path, "/")
	if !ok {
		return ""
	}
	return part
}
