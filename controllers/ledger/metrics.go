package ledger

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// placed is an error and where it happened.
type placed struct {
	place string
	error
}

func (p *placed) Unwrap() error { return p.error }

// at says where an error happened, for the metric. The first place counts.
func at(place string, err error) error {
	var p *placed
	if err == nil || errors.As(err, &p) {
		return err
	}
	return &placed{place, err}
}

type metrics struct {
	size, pending, cosigned  prometheus.Gauge
	failures                 *prometheus.CounterVec
	dropped, rejected        prometheus.Counter
	publishedAt, publishedTo atomic.Int64 // nanoseconds, and the size that was published then
}

func newMetrics(r prometheus.Registerer, now func() time.Time) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		size:     gauge("tidewaiter_log_size", "Leaves in the log of recordings, as the leader has published it."),
		pending:  gauge("tidewaiter_log_pending", "Leaves that wait to be taken into the log, up to those of one batch."),
		cosigned: gauge("tidewaiter_log_cosignatures", "Witnesses that have cosigned the last checkpoint."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_log_failures_total", Help: "What failed in the log of recordings, by place.",
		}, []string{"place"}),
		dropped:  counter("tidewaiter_log_duplicates_total", "Leaves that were in the log already when they were met again."),
		rejected: counter("tidewaiter_log_rejected_total", "Pending objects that are no leaves, and were put aside."),
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidewaiter_log_checkpoint_age_seconds", Help: "Time since the leader has published a larger log; 0 where none was.",
	}, func() float64 {
		if at := m.publishedAt.Load(); at > 0 {
			return now().Sub(time.Unix(0, at)).Seconds()
		}
		return 0
	})
	if r == nil {
		return m, nil
	}
	var err error
	for _, c := range []prometheus.Collector{m.size, m.pending, m.cosigned, m.failures, m.dropped, m.rejected, age} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

// published notes that a log of a size is to be seen.
func (m *metrics) published(size int64) {
	m.size.Set(float64(size))
	if m.publishedTo.Swap(size) != size {
		m.publishedAt.Store(time.Now().UnixNano())
	}
}

// failed counts an error by its place. That another leader was faster is none.
func (m *metrics) failed(err error) {
	var p *placed
	if errors.Is(err, ErrConflict) {
		return
	}
	place := "other"
	if errors.As(err, &p) {
		place = p.place
	}
	m.failures.WithLabelValues(place).Inc()
}
