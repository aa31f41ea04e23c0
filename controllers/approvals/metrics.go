package approvals

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a Desk. The labels are bounded: none names a pod.
type metrics struct {
	created  prometheus.Counter
	answered *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, d *Desk) *metrics {
	m := &metrics{
		created: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidewaiter_approvals_requested_total", Help: "AccessRequests created for statements that are held.",
		}),
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_approvals_answered_total", Help: "Answers to sidecars, by outcome; Granted: approved before.",
		}, []string{"outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_approvals_refused_total", Help: "Questions of sidecars that nobody was asked, by reason: Question, Queue, Replica, Cluster.",
		}, []string{"reason"}),
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			d.mu.Lock()
			defer d.mu.Unlock()
			return float64(value())
		})
	}
	r.MustRegister(m.created, m.answered, m.refused,
		gauge("tidewaiter_approvals_waiting", "Statements that wait for people.", func() int { return len(d.waiting) }),
		gauge("tidewaiter_approvals_queued", "Statements that wait for their turn to be asked.", func() int { return d.holds - len(d.waiting) }))
	return m
}

// label is an outcome as the metric calls it.
func label(out outcome) string {
	switch out {
	case outcomeApproved:
		return "Approved"
	case outcomeDenied:
		return "Denied"
	case outcomeExpired:
		return "Expired"
	case outcomeWithdrawn:
		return "Withdrawn"
	default:
		return "Refused"
	}
}
