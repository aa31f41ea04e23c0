package local

import (
	"fmt"
	"maps"
	"strings"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/identity"
	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Source is a data source as the manifests describe it: how it is reached and what is decided about it, without listeners
// or recordings. It is safe for concurrent use.
type Source struct {
	Name     string // "namespace/name"
	Settings protocol.Settings
	// Dialer reaches the data source with its credential.
	Dialer session.Dialer
	// Decider answers for the subject.
	Decider session.Decider
	// Identity is the subject as decisions see it.
	Identity access.Identity

	gate   *datasource.Gate
	config datasource.Config
	spec   *v1alpha1.DataSource
}

func nameOf(ds *v1alpha1.DataSource) string { return ds.Namespace + "/" + ds.Name }

// Open returns the data source that Options.DataSources names, or the only one to which the subject may attach, without
// starting anything. RecordDir is not used.
func Open(o Options) (*Source, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	chosen, err := Attachable(o.Set, o.Subject, o.DataSources...)
	if err != nil {
		return nil, err
	}
	if len(chosen) > 1 {
		return nil, fmt.Errorf("%s may attach to several DataSources: pass --datasource with one of %s", o.Subject.Namespace, namesOf(chosen))
	}
	signer, err := newSigner()
	if err != nil {
		return nil, err
	}
	return signer.source(o, chosen[0])
}

func namesOf(all []*v1alpha1.DataSource) string {
	var names []string
	for _, ds := range all {
		names = append(names, nameOf(ds))
	}
	return strings.Join(names, ", ")
}

// source makes the parts of one data source and puts its first bundle in force.
func (s signer) source(o Options, ds *v1alpha1.DataSource) (*Source, error) {
	out := &Source{Name: nameOf(ds), Identity: identityOf(o.Subject), spec: ds}
	var err error
	if out.config, err = configOf(o, ds); err != nil {
		return nil, err
	}
	out.Settings = out.config.Settings
	if out.Dialer, err = out.config.Dialer(); err != nil {
		return nil, fmt.Errorf("DataSource %s: spec.postgres.tls: %w", out.Name, err)
	}
	for _, note := range notesOn(ds) {
		if o.Log != nil {
			o.Log.Warn(note, "dataSource", out.Name)
		}
	}
	if out.gate, err = s.newGate(o.Set, ds, o.Subject); err != nil {
		return nil, err
	}
	out.Decider = out.gate
	return out, nil
}

// notesOn says what is done otherwise here than in a cluster: on this machine there is neither a spool that an operator empties
// nor a store that keeps recordings for a time.
func notesOn(ds *v1alpha1.DataSource) []string {
	var notes []string
	if ds.Spec.Recording.OnRecorderLoss == v1alpha1.RecorderLossServe {
		notes = append(notes, "spec.recording.onRecorderLoss: Serve holds in a cluster; here, statements that cannot be recorded are refused")
	}
	if ds.Spec.Recording.Retention != nil {
		notes = append(notes, "spec.recording.retention holds in a cluster; here, recordings stay until you delete them")
	}
	return notes
}

// configOf is a DataSource as the proxy is configured by it.
func configOf(o Options, ds *v1alpha1.DataSource) (datasource.Config, error) {
	keep := vault{set: o.Set, ds: ds}
	out := datasource.Config{Durability: record.ParseDurability(string(ds.Spec.Recording.Durability))}
	if o.Durability != nil {
		out.Durability = *o.Durability
	}
	var err error
	if out.Target, err = keep.target(); err != nil {
		return datasource.Config{}, err
	}
	if out.Credential, err = keep.credential(o.Credential); err != nil {
		return datasource.Config{}, err
	}
	if out.Certificate, err = keep.certificate(); err != nil {
		return datasource.Config{}, err
	}
	out.Settings, err = settings(ds, keep)
	return out, err
}

// served is a data source with everything that a listener needs.
type served struct {
	*Source
	source *datasource.Source
}

// serve adds to a source what its connections go through.
func (p *Proxy) serve(o Options, s *Source) (*served, error) {
	var approver session.Approver
	if p.people != nil {
		approver = p.people.broker
	}
	source, err := datasource.New(s.config, datasource.Parts{
		Approver: approver,
		Gate:     s.gate, Identifier: identity.Fixed{Identity: s.Identity}, Observer: p.tally.Tally,
		Recorder: func(c *datasource.Config) (session.Recorder, error) {
			if o.recorder != nil {
				return o.recorder(s.Name, c.Durability)
			}
			recorder, err := record.New(record.Options{Dir: o.RecordDir, Durability: c.Durability})
			return &countingRecorder{recorder: recorder, tally: p.tally}, err
		},
	})
	if err != nil {
		return nil, err
	}
	return &served{Source: s, source: source}, nil
}

func identityOf(s compile.Subject) access.Identity {
	return access.Identity{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Labels: maps.Clone(s.PodLabels)}
}

// settings are what the protocol must know of the data source.
func settings(ds *v1alpha1.DataSource, keep vault) (protocol.Settings, error) {
	spec := &ds.Spec
	out := protocol.Settings{
		Protocol: string(spec.Protocol), DataSource: nameOf(ds), Database: spec.Postgres.Database,
		Classifications: classifications(spec.Classifications),
		RecordRows:      spec.Recording.Rows != v1alpha1.RecordRowsNone && spec.Recording.Rows != v1alpha1.RecordRowsDigests,
		DigestRows:      spec.Recording.Rows == v1alpha1.RecordRowsDigests,
	}
	for _, f := range spec.Functions.Trusted {
		out.Trusted = append(out.Trusted, string(f))
	}
	var err error
	out.MaskKey, err = keep.maskKey()
	return out, err
}

func classifications(in []v1alpha1.Classification) []protocol.Classification {
	var out []protocol.Classification
	for _, c := range in {
		next := protocol.Classification{}
		for _, column := range c.Columns {
			next.Columns = append(next.Columns, string(column))
		}
		for _, tag := range c.Tags {
			next.Tags = append(next.Tags, string(tag))
		}
		out = append(out, next)
	}
	return out
}
