package distribute

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a Server. Labels are bounded: none names a pod, and reasons that
// sidecars choose are counted under their own name only if they look like one.
type metrics struct {
	refused   *prometheus.CounterVec
	ended     *prometheus.CounterVec
	crowded   prometheus.Counter
	sent      prometheus.Counter
	answers   *prometheus.CounterVec
	ack       prometheus.Histogram
	compile   prometheus.Histogram
	recording *prometheus.CounterVec
	budget    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, streams func() int) *metrics {
	m := &metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_streams_refused_total", Help: "Streams of sidecars that were refused, by reason.",
		}, []string{"reason"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_streams_ended_total", Help: "Streams of sidecars that ended, by reason.",
		}, []string{"reason"}),
		crowded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidewaiter_connections_crowded_out_total", Help: "Connections without a sidecar's stream that were closed because there were too many.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidewaiter_snapshots_sent_total", Help: "Snapshots sent to sidecars.",
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_snapshot_answers_total", Help: "Answers of sidecars to snapshots: Ack, or the reason of a Nack.",
		}, []string{"answer"}),
		ack: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidewaiter_snapshot_ack_seconds", Help: "From a snapshot's sending to its acknowledgement.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10},
		}),
		compile: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidewaiter_snapshot_build_seconds", Help: "Making what one sidecar is sent.",
			Buckets: []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1},
		}),
		recording: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_recordings_total", Help: "Recordings taken in, by result.",
		}, []string{"result"}),
		budget: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_budget_requests_total", Help: "Requests of sidecars for parts of hourly budgets, by result.",
		}, []string{"result"}),
	}
	if r != nil {
		r.MustRegister(m.refused, m.ended, m.crowded, m.sent, m.answers, m.ack, m.compile, m.recording, m.budget,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "tidewaiter_streams", Help: "Streams of sidecars that are open.",
			}, func() float64 { return float64(streams()) }))
	}
	return m
}

// known are the reasons of Nacks that are labels.
var known = []string{"BundleUnsigned", "BundleSigner", "BundleAltered", "BundleRevision", "BundleExpired", "BundleAudience", "BundleInvalid", "SnapshotRevision", "SnapshotInvalid", "SettingsInvalid"}

func nackLabel(reason string) string {
	for _, k := range known {
		if strings.EqualFold(k, reason) {
			return k
		}
	}
	return "Other"
}
