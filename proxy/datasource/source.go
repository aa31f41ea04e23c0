package datasource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
)

// Parts are what a data source is put together with. All but Approver, Keep and Lender are required.
type Parts struct {
	Gate       *Gate
	Identifier session.Identifier
	Observer   session.Observer
	Approver   session.Approver // nil: what needs approval is refused
	// Recorder returns where sessions are recorded, as a configuration has it: see Config.Durability and
	// Config.Loss.
	Recorder func(c *Config) (session.Recorder, error)
	// Keep is protocol.Settings.Keep.
	Keep func(ctx context.Context, acquired []protocol.Acquired) error
	// Lender lends parts of hourly budgets that are shared; nil: they are counted here alone.
	Lender session.Lender
}

// Source is a data source that connections can be served by. It is safe for concurrent use.
type Source struct {
	parts       Parts
	certificate atomic.Pointer[tls.Certificate]
	budgets     session.Budgets // outlive every change, so that none hands an hour back

	mu      sync.Mutex
	config  Config
	current generation
}

// generation is what a change may replace as a whole. Connections stay with the one they began in.
type generation struct {
	dialer   *upstream.Dialer
	speaker  protocol.Protocol
	pipeline *session.Pipeline
}

// New puts a data source together. It opens no connection and no socket. Errors hold no secret.
func New(c Config, p Parts) (*Source, error) {
	if p.Gate == nil || p.Identifier == nil || p.Observer == nil || p.Recorder == nil {
		return nil, errors.New("datasource: a part is missing")
	}
	s := &Source{parts: p, config: c}
	if p.Lender != nil {
		s.budgets.Lend(p.Lender)
	}
	var err error
	s.current, err = s.build(c)
	return s, err
}

func (s *Source) build(c Config) (generation, error) {
	dialer, err := c.Dialer()
	if err != nil {
		return generation{}, fmt.Errorf("DataSource %s: %w", c.Name(), err)
	}
	recorder, err := s.parts.Recorder(&c)
	if err != nil {
		return generation{}, err
	}
	settings := c.Settings
	settings.Keep = s.parts.Keep
	if settings.ClientTLS = nil; c.Certificate != nil {
		s.certificate.Store(c.Certificate)
		settings.ClientTLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.show}
	}
	speaker, err := protocol.New(settings)
	if err != nil {
		return generation{}, fmt.Errorf("DataSource %s: spec.protocol: %w", c.Name(), err)
	}
	return generation{dialer: dialer, speaker: speaker, pipeline: &session.Pipeline{
		DataSource: c.Name(), Protocol: speaker, Dialer: dialer, Decider: s.parts.Gate, Identifier: s.parts.Identifier,
		Recorder: recorder, Observer: s.parts.Observer, Approver: s.parts.Approver, Budgets: &s.budgets,
	}}, nil
}

// show returns the certificate of the moment, so that a new one needs no new listener.
func (s *Source) show(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := s.certificate.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("datasource: there is no certificate")
}

// Name of the data source, "namespace/name".
func (s *Source) Name() string { return s.Pipeline().DataSource }

// Gate decides for the data source.
func (s *Source) Gate() *Gate { return s.parts.Gate }

// Pipeline is what new connections go through.
func (s *Source) Pipeline() *session.Pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.pipeline
}

// Change makes the data source be as next says. An error changes nothing, and holds no secret.
//
// A new credential and a new certificate are for connections that begin later. New tags and trusted functions bind the
// statements that come next, on open connections as well. For everything else there is a new pipeline: then retire is not
// nil, new connections have to go through [Source.Pipeline], and those of the old pipeline have to be ended, since they would
// go on with what no longer holds; after that retire has to be called.
func (s *Source) Change(next Config) (retire func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.Name() != s.config.Name() {
		return nil, fmt.Errorf("datasource: %s cannot become %s", s.config.Name(), next.Name())
	}
	old, replaced := s.current, generation{}
	if !s.config.samePipeline(&next) {
		if replaced, err = s.build(next); err != nil {
			return nil, err
		}
	}
	if s.config.Credential != next.Credential && reflect.DeepEqual(s.config.Target, next.Target) { // it is not for another server
		old.dialer.Use(next.Credential)
	}
	if !s.config.sameTags(&next) { // the old pipeline's last statements are bound by them, too
		old.speaker.Reclassify(next.Settings.Classifications, next.Settings.Acquired, next.Settings.Trusted)
	}
	if next.Certificate != nil {
		s.certificate.Store(next.Certificate)
	}
	s.config = next
	if replaced.pipeline == nil {
		return nil, nil
	}
	s.current = replaced
	return old.speaker.Close, nil
}

// SlowDrip returns since when protected data is read slowly and on and on; zero: it is not. See session.Budgets.SlowDrip.
func (s *Source) SlowDrip(now time.Time) time.Time { return s.budgets.SlowDrip(now) }

// Return gives back what is left of shared budgets, for when no session is left.
func (s *Source) Return(ctx context.Context) { s.budgets.Return(ctx) }

// Close ends what the data source itself holds open. Sessions are not touched.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.speaker.Close()
}
