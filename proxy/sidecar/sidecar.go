package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/approval"
	"github.com/tidewaiter/tidewaiter/proxy/config"
	"github.com/tidewaiter/tidewaiter/proxy/control"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/server"
	"github.com/tidewaiter/tidewaiter/proxy/ship"
)

// lastShipping is how long the recordings of the last sessions may take to arrive once the proxy has drained.
const lastShipping = 3 * time.Second

// Options are what a sidecar is given beside its configuration.
type Options struct {
	Version string
	Log     *slog.Logger
	// Begun is called once, when the first snapshot is in force; nil: nobody has to know.
	Begun func()
}

// sidecar is a running proxy.
type sidecar struct {
	cfg     config.Config
	server  *server.Server
	metrics *server.Metrics
	fleet   *fleet
	spool   *ship.Spool
	client  *control.Client
}

// Run serves what the operator gives, until ctx ends; then it drains. Until the operator has given something, nothing is
// served and /readyz says why. An error is one of the sidecar's own surroundings: a folder, a port.
func Run(ctx context.Context, cfg config.Config, o Options) error {
	log := o.Log
	s, err := build(cfg, o)
	if err != nil {
		return err
	}
	health, err := net.Listen("tcp", cfg.Health)
	if err != nil {
		return fmt.Errorf("--health %s: %w", cfg.Health, err)
	}
	web := &http.Server{Handler: s.server.Handler(s.metrics), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	var running sync.WaitGroup
	running.Go(func() { _ = web.Serve(health) }) // ends with Close
	// The operator is listened to and recordings are shipped until the last session has ended.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	running.Go(func() { s.client.Run(work) })
	running.Go(func() { s.spool.Ship(work, s.client) })
	log.Info("the sidecar runs", "version", o.Version, "operator", cfg.Operator, "dataSources", cfg.DataSources)
	err = s.server.Run(ctx)
	last, cancel := context.WithTimeout(work, lastShipping)
	s.fleet.close(last)
	if s.spool.WaitEmpty(last) != nil {
		log.Info("recordings are left in the spool", "bytes", s.spool.Used())
	} else {
		s.client.Finish(last)
	}
	cancel()
	stop()
	err = errors.Join(err, web.Close())
	running.Wait()
	return err
}

func build(cfg config.Config, o Options) (*sidecar, error) {
	s, log := &sidecar{cfg: cfg, metrics: server.NewMetrics()}, o.Log
	var err error
	if s.spool, err = ship.New(ship.Options{Dir: cfg.Spool, Limit: cfg.SpoolLimit, Log: log}); err != nil {
		return nil, fmt.Errorf("--spool %s: %w", cfg.Spool, err)
	}
	s.server = server.New(server.Options{
		MaxConnections: cfg.Connections, MaxMemory: uint64(cfg.Memory) / 4 * 3, DrainTimeout: cfg.Drain, Ready: s.ready, Log: log,
	})
	tally := datasource.NewTally(s.metrics, nil)
	broker := approval.New(nil)
	s.fleet = &fleet{
		podUID: cfg.Pod.UID, server: s.server, spool: s.spool, tally: tally, broker: broker, begun: o.Begun, ships: map[string]*served{},
	}
	s.client = control.New(control.Options{
		Operator: cfg.Operator, Identity: control.Identity(cfg.Identity), DataSources: cfg.DataSources, Version: o.Version,
		Fleet: s.fleet, Approvals: broker, Recordings: s.spool, BeatEvery: ship.BeatEvery, ReportEvery: cfg.ReportEvery, Log: log,
	})
	s.fleet.keep = s.client.KeepTags
	s.fleet.lender = s.client
	s.fleet.observer = &watcher{Tally: tally, changed: s.client.Changed}
	s.metrics.Gauge("lease_held", "1 while new connections are served.", func() float64 {
		if s.client.Leased() {
			return 1
		}
		return 0
	})
	s.metrics.Gauge("snapshot_revision", "Revision of the snapshot in force.", func() float64 { return float64(s.client.Revision()) })
	s.metrics.Gauge("held_statements", "Statements that wait for approval.", func() float64 { return float64(broker.Held()) })
	s.metrics.Gauge("slow_drips", "Data sources whose protected data is read on and on, near the limit of its hour.", func() float64 { return float64(s.fleet.dripping()) })
	s.metrics.Gauge("spool_bytes", "Recordings that wait for the operator.", func() float64 { return float64(s.spool.Used()) })
	s.metrics.Gauge("unrecorded_sessions", "Open sessions that run unrecorded, as onRecorderLoss: Serve says.", func() float64 {
		n, _ := s.spool.Unrecorded()
		return float64(n)
	})
	s.metrics.Counter("unrecorded_statements_total", "Statements that ran unrecorded, as onRecorderLoss: Serve says.", func() float64 {
		_, n := s.spool.Unrecorded()
		return float64(n)
	})
	return s, nil
}

// ready says what is missing: identity, listeners, bundle or credential.
func (s *sidecar) ready() error {
	if !s.client.Accepted() {
		if err := control.Identity(s.cfg.Identity).Check(); err != nil {
			return err
		}
		return fmt.Errorf("the operator at %s has not accepted this sidecar yet", s.cfg.Operator)
	}
	return s.fleet.missing(s.cfg.DataSources)
}

// watcher tells when a data source begins or ceases to be used.
type watcher struct {
	*datasource.Tally
	changed func()
}

// Opened counts a session that began.
func (w *watcher) Opened(dataSource string) {
	w.Tally.Opened(dataSource)
	if w.Totals(dataSource).Open == 1 {
		w.changed()
	}
}

// Closed counts a session that ended.
func (w *watcher) Closed(dataSource string, c access.Closed) {
	w.Tally.Closed(dataSource, c)
	if w.Totals(dataSource).Open == 0 {
		w.changed()
	}
}
