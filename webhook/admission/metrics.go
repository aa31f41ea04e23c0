package admission

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewaiter/tidewaiter/webhook/inject"
)

// Metrics of admission.
type Metrics struct {
	pods    *prometheus.CounterVec
	seconds prometheus.Histogram
}

// Outcomes of a request, which with inject's reasons are all the labels that there are.
const (
	outcomeInjected    = "injected"
	outcomeUnchanged   = "unchanged"
	outcomeDenied      = "denied"
	outcomeUnavailable = "unavailable"
	outcomeError       = "error"
)

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		pods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_admission_pods_total",
			Help: "Pods that the API server asked about, by outcome (injected, unchanged, denied, unavailable, error) and reason of a denial.",
		}, []string{"outcome", "reason"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tidewaiter_admission_pods_seconds",
			Help:    "Time to answer the API server about a pod, without network and encoding.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, 1},
		}),
	}
	return m, errors.Join(registry.Register(m.pods), registry.Register(m.seconds))
}

func (m *Metrics) observe(result *inject.Result, err error, took time.Duration) {
	if m == nil {
		return
	}
	m.seconds.Observe(took.Seconds())
	outcome, reason := outcomeUnchanged, ""
	var denial *inject.Denial
	var later *unavailable
	switch {
	case errors.As(err, &denial):
		outcome, reason = outcomeDenied, string(denial.Reason)
	case errors.As(err, &later):
		outcome = outcomeUnavailable
	case err != nil:
		outcome = outcomeError
	case len(result.Patch) > 0:
		outcome = outcomeInjected
	}
	m.pods.WithLabelValues(outcome, reason).Inc()
}
