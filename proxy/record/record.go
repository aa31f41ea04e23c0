// Package record keeps the sessions of a proxy as recordings in a folder, one
// append-only file each. It implements session.Recorder.
//
// What it promises: an event that Append took is never dropped and never
// overtaken; a slow disk makes Append wait, in bounded memory; and once an event
// could not be written, every later Append of that session fails, so that
// statements are refused rather than run unrecorded.
//
// It must not know any protocol, how policy is written, or how a recording looks
// inside: that is package recording.
package record

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/recording"
)

// Durability says when Append returns. The zero value is the stricter one.
type Durability uint8

const (
	// Statement makes every intent record (access.EventDecided) durable on disk
	// before Append returns, and with it all events before it. A statement that
	// reached the server is then in the recording even if the machine loses
	// power.
	Statement Durability = iota
	// Async returns as soon as the event is queued. A crash of the proxy may lose
	// the events of the last Linger; a crash of the machine those that its
	// kernel had not written.
	Async
)

// String returns the durability as DataSources write it.
func (d Durability) String() string {
	if d == Async {
		return "Async"
	}
	return "Statement"
}

// ParseDurability reads a durability as DataSources write it. Whatever is unknown
// is Statement, the stricter one.
func ParseDurability(s string) Durability {
	if s == "Async" {
		return Async
	}
	return Statement
}

// Loss says what happens to statements that cannot be recorded. The zero value denies them.
type Loss uint8

const (
	// Deny refuses them.
	Deny Loss = iota
	// Serve lets them run unrecorded, where the disk or the room on it is why. It is for whoever keeps recordings.
	Serve
)

// The defaults of Options.
const (
	DefaultQueue  = 256 << 10
	DefaultMemory = 32 << 20
	DefaultLinger = 50 * time.Millisecond
)

// Options of a Recorder. Only Dir is required.
type Options struct {
	// Dir is the folder of the recordings, made with mode 0700 where it is
	// missing. The recordings in it have mode 0600.
	Dir        string
	Durability Durability
	// Queue bounds the bytes of one session that wait to be written, and Memory
	// those of all sessions together. Append waits while either is reached, so
	// each session may go beyond by one event. 0 means the default.
	Queue  int
	Memory int64
	// Linger is how long an event may wait for company before it is written. 0
	// means DefaultLinger.
	Linger time.Duration
	// Wrote is told of bytes that were written, and with a negative number of those
	// that are gone again, so that a folder can be bounded; it must not block. May
	// be nil.
	Wrote func(n int)
	// Now is the clock of the records that the Recorder adds itself; nil means
	// time.Now.
	Now func() time.Time
}

// Recorder opens recordings. It is safe for concurrent use.
type Recorder struct {
	options Options
	memory  memory
	syncs   chan struct{} // bounds how many threads wait for the disk
	create  func(path string) (sink, error)
}

var _ session.Recorder = (*Recorder)(nil)

// concurrentSyncs bounds how many sessions wait for the disk at the same time.
// The more there are, the more of them the filesystem's journal commits
// together.
const concurrentSyncs = 64

// New returns a Recorder into o.Dir.
func New(o Options) (*Recorder, error) {
	if o.Dir == "" {
		return nil, fmt.Errorf("record: no folder for recordings is set")
	}
	if o.Queue < 0 || o.Memory < 0 || o.Linger < 0 {
		return nil, fmt.Errorf("record: the bounds %d (queue), %d (memory) and %v (linger) must not be negative", o.Queue, o.Memory, o.Linger)
	}
	if o.Queue == 0 {
		o.Queue = DefaultQueue
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Linger == 0 {
		o.Linger = DefaultLinger
	}
	if o.Wrote == nil {
		o.Wrote = func(int) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r := &Recorder{options: o, syncs: make(chan struct{}, concurrentSyncs), create: createFile}
	r.memory.init(o.Memory)
	return r, nil
}

// Open creates the recording of a session and writes its first event, so that a
// session that cannot be recorded is refused before it begins. With durability
// Statement that event and the file's name are on disk when Open returns.
func (r *Recorder) Open(o access.Opened) (session.Record, error) {
	name, err := fileName(o.Session)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(r.options.Dir, name)
	out, err := r.create(path)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	f := newFile(r, path, out)
	if err := f.begin(o); err != nil {
		_ = out.Close()
		if info, serr := os.Stat(path); serr == nil && os.Remove(path) == nil { // holds nothing that anybody was told of
			r.options.Wrote(-int(info.Size()))
		}
		return nil, fmt.Errorf("record: %w", err)
	}
	go f.run()
	return f, nil
}

// fileName returns the file's name of a session's recording. Anything that could
// leave the folder or hide in it is refused.
func fileName(session string) (string, error) {
	ok := session != "" && len(session) <= 200 && session[0] != '.'
	for _, c := range []byte(session) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
		ok = ok && plain
	}
	if !ok {
		return "", fmt.Errorf("record: %q cannot name a recording", session)
	}
	return session + recording.Extension, nil
}
