// Package ocsf says what is in a recording in the words of the Open Cybersecurity Schema Framework, version 1.3: a Datastore Activity
// (6005) for the session's connection and for each statement, and a Detection Finding (2004) for what was denied and for alarms.
// docs/ocsf.md says where each field comes from.
//
// It must not know where recordings are, nor where findings go. Neither rows nor parameters are in what it writes.
package ocsf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Version of the schema.
const Version = "1.3.0"

// Classes.
const (
	DatastoreActivity = 6005
	DetectionFinding  = 2004
)

// Activities of a Datastore Activity.
const (
	activityRead, activityUpdate, activityConnect, activityQuery, activityWrite = 1, 2, 3, 4, 5
	activityCreate, activityDelete, activityOther                               = 6, 7, 99
)

// The severities and outcomes that are used.
const (
	informational, low, medium, high = 1, 2, 3, 4
	success, failure                 = 1, 2
)

// maxQuery is how much of a statement is written, in bytes.
const maxQuery = 16 << 10

// Event is one event of the schema, of either class.
type Event struct {
	ActivityID  int    `json:"activity_id"`
	CategoryUID int    `json:"category_uid"`
	ClassUID    int    `json:"class_uid"`
	TypeUID     int    `json:"type_uid"`
	SeverityID  int    `json:"severity_id"`
	StatusID    int    `json:"status_id,omitempty"`
	StatusCode  string `json:"status_code,omitempty"`
	Status      string `json:"status_detail,omitempty"`
	Time        int64  `json:"time"` // milliseconds since 1970
	Duration    int64  `json:"duration,omitempty"`
	Message     string `json:"message"`

	Metadata Metadata     `json:"metadata"`
	Actor    *Actor       `json:"actor,omitempty"`
	Source   *Endpoint    `json:"src_endpoint,omitempty"`
	TypeID   int          `json:"type_id,omitempty"`
	Database *Database    `json:"database,omitempty"`
	Query    *Query       `json:"query_info,omitempty"`
	Finding  *FindingInfo `json:"finding_info,omitempty"`
	Resource []Resource   `json:"resources,omitempty"`
	Unmapped *Unmapped    `json:"unmapped,omitempty"`
}

// Metadata says who wrote the event, by which version of the schema. UID is "session/statement".
type Metadata struct {
	Version  string   `json:"version"`
	Product  Product  `json:"product"`
	UID      string   `json:"uid"`
	Sequence uint64   `json:"sequence"` // of the record that it was made of
	Labels   []string `json:"labels,omitempty"`
}

// Product is Tidewaiter.
type Product struct {
	Name   string `json:"name"`
	Vendor string `json:"vendor_name"`
}

// Actor is the pod, as the operator knows it, and the user that the client said it is.
type Actor struct {
	User    User     `json:"user"`
	App     string   `json:"app_name,omitempty"`
	Session Named    `json:"session"`
	Process *Process `json:"process,omitempty"`
}

// User is the service account.
type User struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Named is something with a name that is its own.
type Named struct {
	UID string `json:"uid"`
}

// Process is the command that spoke, where it is known.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
}

// Endpoint is the pod.
type Endpoint struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
	IP   string `json:"ip,omitempty"`
}

// Database is the DataSource.
type Database struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	Type int    `json:"type_id"`
}

// Query is the statement, with constants as the recording has them.
type Query struct {
	String string `json:"query_string"`
	Bytes  int64  `json:"bytes,omitempty"`
}

// FindingInfo says what was found.
type FindingInfo struct {
	Title string `json:"title"`
	UID   string `json:"uid"`
	Desc  string `json:"desc,omitempty"`
}

// Resource is a table that was touched.
type Resource struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Unmapped is what the schema has no words for.
type Unmapped struct {
	Statement int64    `json:"statement,omitempty"`
	Effect    string   `json:"effect,omitempty"`
	Policy    string   `json:"policy,omitempty"`
	Rule      string   `json:"rule,omitempty"`
	Observed  bool     `json:"observed,omitempty"`
	Flags     []string `json:"flags,omitempty"`
	Tables    []string `json:"tables,omitempty"`
	Rows      int64    `json:"rows,omitempty"`
	Bytes     int64    `json:"bytes,omitempty"`
	Masked    int64    `json:"masked,omitempty"`
	Request   string   `json:"request,omitempty"`
	Answer    string   `json:"answer,omitempty"`
	By        []string `json:"answered_by,omitempty"`
}

// Mapper turns the events of one session into those of the schema. It keeps the statements that are under way, at most MaxOpen. The
// zero value is ready; it is not safe for concurrent use.
type Mapper struct {
	opened access.Opened
	open   map[int64]*running
	order  []int64
}

type running struct {
	at       int64
	decided  access.Decided
	answered access.Answered
}

// MaxOpen is how many statements may be under way.
const MaxOpen = 1024

// Map takes an event with its sequence number, and returns what follows from it: one or two events for the end of a statement, one
// for a session's beginning and for an alarm, none for others.
func (m *Mapper) Map(seq uint64, e *access.Event) []*Event {
	switch {
	case e.Opened != nil:
		m.opened = *e.Opened
		return []*Event{m.connect(seq, e)}
	case e.Decided != nil:
		return m.begin(seq, e)
	case e.Answered != nil:
		if r := m.open[e.Statement]; r != nil {
			r.answered = *e.Answered
		}
	case e.Ended != nil:
		r := m.open[e.Statement]
		if r == nil {
			r = &running{at: e.Time.UnixMilli()}
		}
		m.forget(e.Statement)
		return m.ended(seq, e.Statement, r, e.Ended)
	case e.Kind == access.EventDisagreed:
		return []*Event{m.finding(seq, e.Statement, e.Time.UnixMilli(), high, "The server contradicted the analysis of a statement", e.Note, "disagreed")}
	}
	return nil
}

// Rest returns events for statements whose end is not recorded. It is called once, at the end.
func (m *Mapper) Rest(seq uint64) (out []*Event) {
	for _, n := range slices.Clone(m.order) {
		r := m.open[n]
		m.forget(n)
		out = append(out, m.ended(seq, n, r, &access.Ended{Outcome: access.OutcomeLost, Message: "no end is recorded"})...)
	}
	return out
}

func (m *Mapper) begin(seq uint64, e *access.Event) (out []*Event) {
	if r := m.open[e.Statement]; r != nil {
		r.decided = *e.Decided
		return nil
	}
	if m.open == nil {
		m.open = map[int64]*running{}
	}
	if len(m.order) == MaxOpen {
		oldest := m.order[0]
		r := m.open[oldest]
		m.forget(oldest)
		out = m.ended(seq, oldest, r, &access.Ended{Outcome: access.OutcomeLost, Message: "too many statements are under way"})
	}
	m.open[e.Statement] = &running{at: e.Time.UnixMilli(), decided: *e.Decided}
	m.order = append(m.order, e.Statement)
	return out
}

func (m *Mapper) forget(n int64) {
	delete(m.open, n)
	if i := slices.Index(m.order, n); i >= 0 {
		m.order = slices.Delete(m.order, i, i+1)
	}
}

// event has what every event has.
func (m *Mapper) event(class, activity, severity int, seq uint64, uid string, at int64) *Event {
	o := &m.opened
	pod := o.Identity.Pod
	if pod == "" {
		pod = o.Identity.Subject()
	}
	e := &Event{
		ActivityID: activity, ClassUID: class, CategoryUID: class / 1000, TypeUID: class*100 + activity, SeverityID: severity, Time: at,
		Metadata: Metadata{Version: Version, Product: Product{"Tidewaiter", "Tidewaiter"}, UID: uid, Sequence: seq},
		Actor:    &Actor{User: User{Name: o.Identity.Subject(), UID: o.Hello.User}, App: o.Hello.Application, Session: Named{o.Session}},
		Source:   &Endpoint{Name: pod, UID: o.Identity.PodUID, IP: address(o.Client)},
	}
	if p := o.Identity.Process; p != nil {
		e.Actor.Process = &Process{p.Exe, p.PID}
	}
	return e
}

func (m *Mapper) activity(activity, severity int, seq uint64, uid string, at int64) *Event {
	e := m.event(DatastoreActivity, activity, severity, seq, uid, at)
	e.TypeID, e.Database = 1, &Database{Name: m.opened.Hello.Database, UID: m.opened.DataSource, Type: 1}
	return e
}

func (m *Mapper) connect(seq uint64, e *access.Event) *Event {
	out := m.activity(activityConnect, informational, seq, m.opened.Session, e.Time.UnixMilli())
	out.StatusID, out.Message = success, m.opened.Identity.Subject()+" opened a session on "+m.opened.DataSource
	return out
}

func (m *Mapper) ended(seq uint64, n int64, r *running, end *access.Ended) []*Event {
	d := &r.decided
	denied := end.Outcome == access.OutcomeDenied
	severity, status := informational, success
	if end.Outcome != access.OutcomeDone {
		severity, status = low, failure
	}
	if denied {
		severity = medium
	}
	e := m.activity(activityOf(d), severity, seq, fmt.Sprintf("%s/%d", m.opened.Session, n), r.at)
	e.StatusID, e.StatusCode, e.Status, e.Duration = status, end.Code, string(end.Outcome), end.Duration.Milliseconds()
	if end.Message != "" {
		e.Status += ": " + end.Message
	}
	e.Query = &Query{String: cut(d.Text), Bytes: max(d.TextSize, int64(len(d.Text)))}
	e.Metadata.Labels = d.Tags
	e.Message = fmt.Sprintf("statement %d (%s): %s", n, strings.Join(d.Kinds, ", "), end.Outcome)
	e.Unmapped = &Unmapped{
		Statement: n, Effect: d.Effect, Policy: d.Policy, Rule: d.Rule, Observed: d.Observed, Flags: append(slices.Clone(d.Flags), end.Flags...), Tables: tables(d),
		Rows: end.Rows, Bytes: end.Bytes, Masked: end.Masked, Request: r.answered.Request, Answer: string(r.answered.Outcome), By: r.answered.By,
	}
	out := []*Event{e}
	if denied || d.Observed {
		f := m.finding(seq, n, r.at, medium, "A statement was denied", d.Reason, "denied")
		if d.Observed {
			f.Finding.Title = "A statement would be denied (Observe)"
		}
		for _, t := range tables(d) {
			f.Resource = append(f.Resource, Resource{t, "table"})
		}
		f.Unmapped = e.Unmapped
		out = append(out, f)
	}
	return out
}

func (m *Mapper) finding(seq uint64, n, at int64, severity int, title, desc, sort string) *Event {
	uid := fmt.Sprintf("%s/%d/%s", m.opened.Session, n, sort)
	e := m.event(DetectionFinding, 1, severity, seq, uid, at) // 1: Create
	e.StatusID, e.Message = 1, title                          // 1: New
	e.Finding = &FindingInfo{Title: title, UID: uid, Desc: desc}
	return e
}

// activityOf is what a statement does, the gravest first.
func activityOf(d *access.Decided) int {
	found := activityOther
	rank := []int{activityOther, activityQuery, activityRead, activityCreate, activityWrite, activityUpdate, activityDelete}
	for _, k := range d.Kinds {
		if a, ok := activities[k]; ok && slices.Index(rank, a) > slices.Index(rank, found) {
			found = a
		}
	}
	return found
}

var activities = map[string]int{
	"Select": activityRead, "BulkSelect": activityRead, "CopyOut": activityRead, "Insert": activityWrite, "CopyIn": activityWrite, "Merge": activityUpdate,
	"Update": activityUpdate, "Delete": activityDelete, "Truncate": activityDelete, "DDL": activityCreate, "Session": activityQuery, "Explain": activityQuery,
}

func tables(d *access.Decided) (out []string) {
	for _, r := range d.Resources {
		if _, table, ok := strings.Cut(r, " "); ok && !slices.Contains(out, table) {
			out = append(out, table)
		}
	}
	return out
}

func cut(s string) string {
	if len(s) <= maxQuery {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuery], "") + "…"
}

// address is the IP of a client, without its port; empty for a socket.
func address(client string) string {
	host := client
	if i := strings.LastIndexByte(client, ':'); i >= 0 {
		host = strings.Trim(client[:i], "[]")
	}
	if strings.Trim(host, "0123456789abcdefABCDEF.:") != "" {
		return ""
	}
	return host
}
