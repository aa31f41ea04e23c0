package sidecar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/approval"
	"github.com/tidewaiter/tidewaiter/proxy/control"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/identity"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/server"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/ship"
)

// fleet is the data sources that are served. It implements control.Fleet.
type fleet struct {
	podUID   string
	server   *server.Server
	spool    *ship.Spool
	tally    *datasource.Tally
	broker   *approval.Broker
	observer session.Observer
	keep     func(ctx context.Context, dataSource string, acquired []protocol.Acquired) error
	lender   session.Lender
	begun    func() // called once, at the first lease; may be nil

	mu     sync.Mutex
	ships  map[string]*served
	leased bool
}

var _ control.Fleet = (*fleet)(nil)

// served is one data source. All but who is guarded by the fleet's mu.
type served struct {
	who      workload
	source   *datasource.Source
	endpoint *server.Endpoint
	port     int
	bundle   [sha256.Size]byte // of the last that was taken
	revoked  *access.Denial    // why new connections are refused
}

// workload identifies every client as the pod, as the operator knows it at the time.
type workload struct {
	pod atomic.Pointer[access.Identity]
}

// Identify returns the pod.
func (w *workload) Identify(ctx context.Context, client net.Conn) (access.Identity, error) {
	return identity.Fixed{Identity: *w.pod.Load()}.Identify(ctx, client)
}

// Reasons of refusals that come from serving.
const (
	reasonListen   = "ListenFailed"
	reasonSettings = control.ReasonSettingsInvalid
)

// bundleReasons words why a bundle is refused. What is not in it is BundleInvalid.
var bundleReasons = []struct {
	err    error
	reason string
}{
	{policy.ErrUnsigned, "BundleUnsigned"},
	{policy.ErrUnread, "BundleAltered"},
	{policy.ErrAudience, "BundleAudience"},
	{policy.ErrSubject, "BundleAudience"},
	{policy.ErrRevision, "BundleRevision"},
	{policy.ErrExpired, "BundleExpired"},
}

func refusedBundle(err error) error {
	for _, r := range bundleReasons {
		if errors.Is(err, r.err) {
			return &control.Refusal{Reason: r.reason, Message: err.Error()}
		}
	}
	return &control.Refusal{Reason: "BundleInvalid", Message: err.Error()}
}

// Put serves a data source as told.
func (f *fleet) Put(p control.Part) error {
	f.mu.Lock()
	s := f.ships[p.Config.Name()]
	f.mu.Unlock()
	if s == nil {
		return f.add(p)
	}
	return f.change(s, p)
}

// add serves a data source that was not served before.
func (f *fleet) add(p control.Part) error {
	name := p.Config.Name()
	gate := datasource.NewGate(policy.Options{Audience: f.podUID, DataSource: name})
	engine, err := gate.Load(p.Bundle, p.Key)
	if err != nil {
		return refusedBundle(err)
	}
	s := &served{port: p.Port, bundle: sha256.Sum256(p.Bundle)}
	s.who.pod.Store(&p.Identity)
	s.source, err = datasource.New(p.Config, datasource.Parts{
		Gate: gate, Identifier: &s.who, Observer: f.observer, Approver: f.broker, Lender: f.lender,
		Recorder: func(c *datasource.Config) (session.Recorder, error) {
			return f.spool.Recorder(name, c.Durability, c.Loss)
		},
		Keep: func(ctx context.Context, acquired []protocol.Acquired) error {
			return f.keep(ctx, name, acquired)
		},
	})
	if err != nil {
		return &control.Refusal{Reason: reasonSettings, Message: err.Error()}
	}
	listeners, err := listen(p.Port)
	if err != nil {
		s.source.Close()
		return &control.Refusal{Reason: reasonListen, Message: err.Error()}
	}
	if err := gate.Swap(engine); err != nil {
		closeAll(listeners)
		s.source.Close()
		return refusedBundle(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.endpoint = f.server.Open(s.source.Pipeline())
	s.endpoint.Refuse(f.refusal(name, s)) // before the first can come
	s.endpoint.Move(listeners...)
	f.ships[name] = s
	return nil
}

// change makes a data source that is served be as told: all of it, or nothing.
func (f *fleet) change(s *served, p control.Part) error {
	gate, digest := s.source.Gate(), sha256.Sum256(p.Bundle)
	var engine *policy.Engine
	var err error
	if digest != s.bundle {
		if engine, err = gate.Load(p.Bundle, p.Key); err != nil {
			return refusedBundle(err)
		}
	}
	var listeners []net.Listener
	if p.Port != s.port {
		if listeners, err = listen(p.Port); err != nil {
			return &control.Refusal{Reason: reasonListen, Message: err.Error()}
		}
	}
	retire, err := s.source.Change(p.Config) // tags before policy: what is newly tagged is redacted until a mask is known
	if err != nil {
		closeAll(listeners)
		return &control.Refusal{Reason: reasonSettings, Message: err.Error()}
	}
	s.who.pod.Store(&p.Identity)
	if engine != nil {
		if err := gate.Swap(engine); err != nil {
			closeAll(listeners)
			return refusedBundle(err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.bundle = digest
	if listeners != nil {
		s.port = p.Port
		s.endpoint.Move(listeners...)
	}
	if retire != nil {
		s.endpoint.Replace(s.source.Pipeline(), retire)
	}
	s.revoked = nil
	gate.Lift()
	s.endpoint.Refuse(f.refusal(p.Config.Name(), s))
	return nil
}

// refusal is why new connections are refused, if they are. f.mu is held.
func (f *fleet) refusal(name string, s *served) *access.Denial {
	switch {
	case s.revoked != nil:
		return s.revoked
	case !f.leased:
		return &access.Denial{
			Code:   access.CodeNotNow,
			What:   fmt.Sprintf("tidewaiter: no new connections to DataSource %s: the operator has not been heard from for too long", name),
			Detail: "Whether the policy in force still holds cannot be known without it. Connections that are open go on.",
			Hint:   "Try again later; if it stays, ask the operator of Tidewaiter whether tidewaiter-operator runs and can be reached from this pod.",
		}
	default:
		return nil
	}
}

// Remove ends a data source that the pod may not use any more. One that was revoked goes on to tell its clients why.
func (f *fleet) Remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.ships[name]
	if s == nil || s.revoked != nil {
		return
	}
	delete(f.ships, name)
	s.source.Gate().Bar(fmt.Sprintf("This pod may not use DataSource %s any more.", name), askOwner(name))
	f.broker.Forget(name, "the pod may not use the data source any more")
	s.endpoint.Close(s.source.Close)
}

// Revoke cuts a data source's sessions off, and refuses new ones until it is put again.
func (f *fleet) Revoke(name, reason, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.ships[name]
	if s == nil {
		return
	}
	what := fmt.Sprintf("tidewaiter: access to DataSource %s was revoked (%s)", name, reason)
	s.revoked = &access.Denial{What: what, Detail: message, Hint: askOwner(name)}
	s.source.Gate().Bar(what+": "+message, askOwner(name)) // first, so that nothing more is decided on what is about to be cut
	f.broker.Forget(name, "access to the data source was revoked")
	s.endpoint.Refuse(s.revoked)
	s.endpoint.Cut(&access.Denial{Code: access.CodeShutdown, What: what, Detail: message, Hint: askOwner(name)})
}

func askOwner(name string) string { return "Ask the owner of DataSource " + name + "." }

// Lease says whether new connections are served.
func (f *fleet) Lease(held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leased = held
	if held && f.begun != nil {
		go f.begun()
		f.begun = nil
	}
	for name, s := range f.ships {
		s.endpoint.Refuse(f.refusal(name, s))
	}
}

// Reports says how the data sources are used, in the order of their names.
func (f *fleet) Reports() []*sidecarv1alpha1.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*sidecarv1alpha1.Report
	for name, s := range f.ships {
		out = append(out, f.report(name, s))
	}
	slices.SortFunc(out, func(a, b *sidecarv1alpha1.Report) int {
		if a.GetDataSource() < b.GetDataSource() {
			return -1
		}
		return 1
	})
	return out
}

func (f *fleet) report(name string, s *served) *sidecarv1alpha1.Report {
	t, latest := f.tally.Totals(name), f.spool.Latest(name)
	r := &sidecarv1alpha1.Report{
		DataSource: name, Connections: count(t.Open), Opened: count(t.Sessions), Statements: count(t.Statements),
		Denied: count(t.Denied), Held: count(t.Held), MaskedValues: count(t.Masked), Rows: count(t.Rows), Bytes: count(t.Bytes),
		Alarms: count(t.Alarms), LastRecording: latest.ID, ChainHead: latest.Head,
	}
	if e := s.source.Gate().Engine(); e != nil {
		r.Revision = e.Revision()
	}
	if !t.Last.IsZero() {
		r.LastActivity = timestamppb.New(t.Last)
	}
	if since := s.source.SlowDrip(time.Now()); !since.IsZero() {
		r.SlowDripSince = timestamppb.New(since)
	}
	return r
}

// dripping is how many data sources are read slowly and on and on.
func (f *fleet) dripping() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.ships {
		if !s.source.SlowDrip(time.Now()).IsZero() {
			n++
		}
	}
	return n
}

func count(n int64) uint64 { return uint64(max(n, 0)) }

// missing says which of the data sources that are wanted cannot be used, and why.
func (f *fleet) missing(wanted []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range wanted {
		s := f.ships[name]
		switch {
		case s == nil:
			return fmt.Errorf("DataSource %s: nothing to serve it by has come from the operator yet", name)
		case s.revoked != nil:
			return errors.New(s.revoked.What)
		}
	}
	return nil
}

// close ends what the data sources themselves hold open, and gives back what is left of shared budgets: the pods that go on
// can use it.
func (f *fleet) close(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.ships {
		s.source.Return(ctx)
		s.source.Close()
	}
}
