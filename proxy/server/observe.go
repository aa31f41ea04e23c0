package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Metrics counts what sessions do, for Prometheus. It implements
// session.Observer. Labels are bounded: data sources are configured, effects,
// outcomes and rules are the policy's own.
type Metrics struct {
	registry  *prometheus.Registry
	sessions  *prometheus.GaugeVec
	decisions *prometheus.CounterVec
	ended     *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	rows      *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	masked    *prometheus.CounterVec
	disagreed *prometheus.CounterVec
	told      *prometheus.CounterVec
}

// NewMetrics returns metrics on a registry of their own, with the Go runtime's and
// the process's.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidewaiter", Name: name, Help: help}, append([]string{"datasource"}, labels...))
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		sessions:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tidewaiter", Name: "sessions", Help: "Open sessions."}, []string{"datasource"}),
		decisions: counter("decisions_total", "Decided operations, by effect, and by the rule that denied.", "effect", "rule", "observed"),
		ended:     counter("statements_ended_total", "Ended operations, by outcome.", "outcome"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "tidewaiter", Name: "statement_duration_seconds", Help: "From decision to the end of the answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"datasource"}),
		rows:      counter("rows_total", "Rows that reached clients."),
		bytes:     counter("result_bytes_total", "Bytes of results that reached clients."),
		masked:    counter("masked_values_total", "Values that were masked."),
		disagreed: counter("attestation_disagreements_total", "Results dropped because the server attested a tagged column that the analysis had not seen."),
		told:      counter("failed_probes_total", "Failures that tell something of tagged data and count as probes."),
	}
	m.registry.MustRegister(m.sessions, m.decisions, m.ended, m.duration, m.rows, m.bytes, m.masked, m.disagreed, m.told,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a value of the proxy as a whole, which f tells; f must not block.
func (m *Metrics) Gauge(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "tidewaiter", Name: name, Help: help}, f))
}

// Counter adds a count of the proxy as a whole, which f tells; f must not block, and its value must not decrease.
func (m *Metrics) Counter(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "tidewaiter", Name: name, Help: help}, f))
}

// Opened counts a session that began.
func (m *Metrics) Opened(dataSource string) { m.sessions.WithLabelValues(dataSource).Inc() }

// Decided counts a decision.
func (m *Metrics) Decided(dataSource string, _ *access.Operation, d access.Decision) {
	rule := ""
	if d.Effect != access.Allow || d.Observed {
		rule = strings.TrimPrefix(d.Policy+"/"+d.Rule, "/")
	}
	observed := "false"
	if d.Observed {
		observed = "true"
	}
	m.decisions.WithLabelValues(dataSource, d.Effect.String(), rule, observed).Inc()
}

// Ended counts an operation that is over.
func (m *Metrics) Ended(dataSource string, e access.Ended) {
	m.ended.WithLabelValues(dataSource, string(e.Outcome)).Inc()
	m.duration.WithLabelValues(dataSource).Observe(e.Duration.Seconds())
	m.rows.WithLabelValues(dataSource).Add(float64(e.Rows))
	m.bytes.WithLabelValues(dataSource).Add(float64(e.Bytes))
	m.masked.WithLabelValues(dataSource).Add(float64(e.Masked))
	if slices.ContainsFunc(e.Flags, func(flag string) bool { return strings.HasPrefix(flag, "probe: ") }) {
		m.told.WithLabelValues(dataSource).Inc()
	}
}

// Disagreed counts an alarm.
func (m *Metrics) Disagreed(dataSource string) { m.disagreed.WithLabelValues(dataSource).Inc() }

// Closed counts a session that ended.
func (m *Metrics) Closed(dataSource string, _ access.Closed) {
	m.sessions.WithLabelValues(dataSource).Dec()
}

// Handler serves /healthz (the process runs), /readyz (connections are accepted,
// and Options.Ready misses nothing) and /metrics.
func (s *Server) Handler(m *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not accepting connections", http.StatusServiceUnavailable)
			return
		}
		if s.opt.Ready != nil {
			if err := s.opt.Ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
