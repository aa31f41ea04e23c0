package audit

import "github.com/prometheus/client_golang/prometheus"

// metrics of a Server. Labels are bounded: none names a user or a session.
type metrics struct {
	requests *prometheus.CounterVec
	bytes    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_recordings_requests_total",
			Help: "Requests of auditors: what was asked for (Segment, Index, Log, List, Key, Erase; None where that was not known), and OK or the reason of the refusal.",
		}, []string{"what", "result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidewaiter_recordings_read_bytes_total", Help: "Bytes of recordings, index and log that auditors were sent.",
		}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.bytes)
	}
	return m
}
