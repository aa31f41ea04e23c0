package session

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a Writer. The labels are bounded: none names a pod.
type metrics struct {
	writes  *prometheus.CounterVec
	dropped *prometheus.CounterVec
	waiting prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, w *Writer) *metrics {
	m := &metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_session_writes_total", Help: "Writes of Sessions, by result.",
		}, []string{"result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_sessions_dropped_total", Help: "Sessions that are not kept, by reason.",
		}, []string{"reason"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tidewaiter_session_writes_waiting", Help: "Sessions whose write is due and waits for the breaker.",
		}),
	}
	if r == nil {
		return m
	}
	r.MustRegister(m.writes, m.dropped, m.waiting,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidewaiter_session_breaker_open", Help: "1 while there are more writes of Sessions than the API server should get.",
		}, func() float64 {
			if open, _ := w.breaker.state(w.o.Now()); open {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tidewaiter_session_breaker_trips_total", Help: "How often the breaker of Session writes has opened.",
		}, func() float64 {
			_, trips := w.breaker.state(w.o.Now())
			return float64(trips)
		}))
	return m
}
