// Package local is the whole data path in one process, without a cluster: from manifests to listeners on loopback behind
// which a policy holds. `kubectl tidewaiter local` is a thin shell around it, and tests start it in process.
//
// It puts parts together and decides nothing by itself: policy is compiled by controllers/compile and evaluated by
// proxy/policy, connections go through proxy/session. It must not know flags, terminals, child processes or what any
// protocol looks like, and it keeps nothing in package variables: every Proxy stands for itself.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/server"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Options say what to start. Set, Subject and RecordDir are required.
type Options struct {
	// Set holds the manifests. Start checks the references in it.
	Set *manifest.Set
	// Subject is whose access is tried: see [ChooseSubject].
	Subject compile.Subject
	// RecordDir is the folder of the recordings, one file for each session, made where it is missing.
	RecordDir string
	// Durability of the recordings; nil means what each DataSource says.
	Durability *record.Durability
	// Credential for every data source; nil means what the manifests' Secrets say.
	Credential *session.Credential
	// DataSources are the "namespace/name"s to start; empty means all to which the subject may attach.
	DataSources []string
	// SocketDir is a folder in which every data source also gets a unix socket, named as libpq expects it for the
	// endpoint's port; empty means none.
	SocketDir string
	// Approvals says that people at this machine are asked for what needs approval; otherwise it is refused.
	Approvals bool
	// Server bounds connections, memory and the time that draining may take. Its Log is set to Log.
	Server server.Options
	// Log takes what operators must know; nil drops it.
	Log *slog.Logger

	// recorder replaces what records a session: only tests can set it, to measure what recording costs.
	recorder func(dataSource string, d record.Durability) (session.Recorder, error)
}

// Proxy is a running data path. Its methods are safe for concurrent use.
type Proxy struct {
	server    *server.Server
	metrics   *server.Metrics
	tally     *tally
	signer    signer
	subject   compile.Subject
	people    *People // nil: nobody is asked
	sources   []*served
	endpoints []Endpoint

	stop context.CancelFunc
	done chan struct{}
	err  error // of the server; valid once done is closed

	replacing sync.Mutex
	revision  uint64
}

// Start begins to listen for every data source to which the subject may attach, and returns when connections are
// accepted. The proxy drains when ctx ends or Close is called. The data sources themselves need not be reachable.
// Errors name the object, the field and the cure, and hold no value of a Secret.
func Start(ctx context.Context, o Options) (*Proxy, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	chosen, err := Attachable(o.Set, o.Subject, o.DataSources...)
	if err != nil {
		return nil, err
	}
	p := &Proxy{server: server.New(o.Server), metrics: server.NewMetrics(), subject: o.Subject, done: make(chan struct{}), revision: 1}
	p.tally = &tally{Tally: datasource.NewTally(p.metrics, nil)}
	if p.signer, err = newSigner(); err != nil {
		return nil, err
	}
	ctx, p.stop = context.WithCancel(ctx)
	if o.Approvals {
		p.people = newPeople(ctx, o)
	}
	if err = p.build(o, chosen); err == nil {
		err = p.listen(ctx, o)
	}
	if err != nil {
		p.stop()
		p.closeSources()
		return nil, err
	}
	return p, nil
}

// complete checks the manifests and fills in defaults.
func (o *Options) complete() error {
	if o.Set == nil {
		return errors.New("no manifests: name files or folders with a DataSource and its AccessPolicies")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Server.Log = o.Log
	var options []manifest.CheckOption
	if o.Credential != nil {
		options = append(options, manifest.CredentialsElsewhere())
	}
	_, err := manifest.Check(o.Set, options...)
	return err
}

// Attachable returns the DataSources of the set to which the subject may attach, in the set's order; with names
// ("namespace/name"), exactly those. Having none is an error that says what to change.
func Attachable(set *manifest.Set, subject compile.Subject, names ...string) ([]*v1alpha1.DataSource, error) {
	var out []*v1alpha1.DataSource
	var others []string
	for i := range set.DataSources {
		ds := &set.DataSources[i]
		ok, err := compile.Attached(ds, subject)
		if err != nil {
			return nil, err
		}
		if ok && (len(names) == 0 || slices.Contains(names, nameOf(ds))) {
			out = append(out, ds)
			continue
		}
		others = append(others, nameOf(ds))
	}
	for _, name := range names {
		if !slices.ContainsFunc(out, func(ds *v1alpha1.DataSource) bool { return nameOf(ds) == name }) {
			return nil, missing(name, slices.Contains(others, name), subject)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case len(others) == 0:
		return nil, errors.New("the manifests hold no DataSource: add the file with it to -f")
	default:
		return nil, fmt.Errorf("namespace %s may attach to none of %s: let their spec.allowedNamespaces select it, or choose another subject",
			subject.Namespace, strings.Join(others, ", "))
	}
}

func missing(name string, there bool, subject compile.Subject) error {
	if there {
		return fmt.Errorf("DataSource %s: its spec.allowedNamespaces do not let namespace %s attach", name, subject.Namespace)
	}
	return fmt.Errorf("DataSource %s is not in the manifests: write it as namespace/name, and add its file to -f", name)
}

// build makes the parts of every data source; it opens no socket.
func (p *Proxy) build(o Options, chosen []*v1alpha1.DataSource) error {
	for _, ds := range chosen {
		source, err := p.signer.source(o, ds)
		if err != nil {
			return err
		}
		s, err := p.serve(o, source)
		if err != nil {
			return err
		}
		p.sources = append(p.sources, s)
	}
	return nil
}

// listen opens the listeners and begins to serve.
func (p *Proxy) listen(ctx context.Context, o Options) error {
	all := map[net.Listener]*session.Pipeline{}
	for _, s := range p.sources {
		listeners, port, err := listenLoopback()
		if err == nil && o.SocketDir != "" {
			var ln net.Listener
			if ln, err = listenSocket(o.SocketDir, port); err == nil {
				listeners = append(listeners, ln)
			}
		}
		for _, ln := range listeners {
			all[ln] = s.source.Pipeline()
		}
		if err != nil {
			for ln := range all {
				_ = ln.Close() // nobody was told of it
			}
			return fmt.Errorf("DataSource %s: %w", s.Name, err)
		}
		p.endpoints = append(p.endpoints, s.endpoint(port, o.SocketDir, p.subject))
	}
	go func() {
		p.err = p.server.Serve(ctx, all)
		p.stop()
		p.closeSources()
		close(p.done)
	}()
	return nil
}

func (p *Proxy) closeSources() {
	for _, s := range p.sources {
		s.source.Close()
	}
}

// Endpoints returns where the data sources are, in the order of the manifests.
func (p *Proxy) Endpoints() []Endpoint { return slices.Clone(p.endpoints) }

// Endpoint returns where a data source ("namespace/name") is; an empty name means the first.
func (p *Proxy) Endpoint(dataSource string) (Endpoint, error) {
	for _, e := range p.endpoints {
		if dataSource == "" || e.DataSource == dataSource {
			return e, nil
		}
	}
	return Endpoint{}, fmt.Errorf("DataSource %s is not served here", dataSource)
}

// Handler serves /healthz, /readyz and /metrics.
func (p *Proxy) Handler() http.Handler { return p.server.Handler(p.metrics) }

// People answer what the proxy holds; nil where nobody is asked.
func (p *Proxy) People() *People { return p.people }

// Done is closed when the proxy has ended: every session is over and every recording complete.
func (p *Proxy) Done() <-chan struct{} { return p.done }

// Close drains and ends the proxy: no new sessions, what is under way finishes within Options.Server.DrainTimeout, the
// rest is cut off. It returns when all is over, with the error that ended the proxy before, if one did. It may be called
// more than once.
func (p *Proxy) Close() error {
	p.stop()
	<-p.done
	return p.err
}

// Summary returns what has happened so far.
func (p *Proxy) Summary() Summary { return p.tally.summary() }

// Warnings are lines about manifests that are legal but hardly meant, and about a subject that no policy speaks of.
func Warnings(o Options) []string {
	warnings, _ := manifest.Check(o.Set, manifest.CredentialsElsewhere()) // Start returns the error
	warnings = append(slices.Clone(o.Set.Warnings), warnings...)
	if !selected(o.Set, o.Subject) {
		warnings = append(warnings, fmt.Sprintf("no AccessPolicy selects %s, so that everything will be denied: check --as, --labels and "+
			"--namespace-labels against spec.subjects", DescribeSubject(o.Subject)))
	}
	return warnings
}
