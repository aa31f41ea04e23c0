package admission

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clients "k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	podsPerSecond = 200
	budget        = 10 * time.Millisecond // of the 99th percentile
)

// On a machine that does nothing else the 99th percentile has to keep the budget. Where timers are late by milliseconds,
// other programs decide about the slowest answers, and the median has to.
func TestAdmissionKeepsItsBudgetAtTwoHundredPodsASecond(t *testing.T) {
	c := kubernetes(t)
	const quiet = 2 * time.Millisecond
	for range 3 { // one round that is not disturbed shows what admission costs
		m := c.load(t, 3*podsPerSecond, client.DryRunAll)
		judged := 99
		if percentile(m.late, 99) > quiet || m.rate < 0.95*podsPerSecond {
			judged = 50
		}
		if percentile(m.webhook, judged) <= budget {
			return
		}
		t.Logf("the %dth percentile is %v, more than %v", judged, percentile(m.webhook, judged), budget)
	}
	t.Error("no round kept the budget")
}

// BenchmarkAdmission prints the same figures for a longer time, without and with storing the pods:
// go test -bench Admission -run '^$' ./webhook/admission
func BenchmarkAdmission(b *testing.B) {
	c := kubernetes(b)
	b.Cleanup(func() { c.deletePods(b) })
	for name, options := range map[string][]client.CreateOption{"dry-run": {client.DryRunAll}, "stored": nil} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m := c.load(b, 10*podsPerSecond, options...)
				b.ReportMetric(percentile(m.webhook, 99).Seconds()*1000, "ms/p99")
			}
		})
	}
}

// measured is how long things took.
type measured struct {
	webhook []time.Duration // the answers of the webhook, with their HTTP and JSON
	late    []time.Duration // timers: what the machine is late by itself
	rate    float64         // pods a second
}

// inFlight bounds the pods under way, so that a machine that cannot keep up becomes slower instead of falling over.
const inFlight = 64

// load creates pods at a steady rate, whether the ones before are done or not, up to inFlight. It tells what the API server
// and its client saw as well.
func (c *cluster) load(t testing.TB, pods int, options ...client.CreateOption) measured {
	t.Helper()
	c.took.take()
	before := c.webhookBuckets(t)
	created, late := make([]time.Duration, pods), []time.Duration{}
	errs := make([]error, pods)
	var running sync.WaitGroup
	free := make(chan struct{}, inFlight)
	begin := time.Now()
	for i := range pods {
		asked := time.Now()
		if wait := begin.Add(time.Duration(i) * time.Second / podsPerSecond).Sub(asked); wait > 0 {
			<-time.After(wait)
			late = append(late, time.Since(asked)-wait)
		}
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			start := time.Now()
			errs[i] = c.client.Create(t.Context(), plain("shop", "data/orders"), options...)
			created[i] = time.Since(start)
		})
	}
	running.Wait()
	rate := float64(pods) / time.Since(begin).Seconds()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%.1000v", err)
	}
	answers := c.took.take()
	t.Logf("%d pods at %.0f/s: webhook p50 %v, p99 %v; API server's wait for it: p99 %s; creation of a pod p50 %v, p99 %v; timers late by p99 %v",
		pods, rate, percentile(answers, 50), percentile(answers, 99), quantile(before, c.webhookBuckets(t)),
		percentile(created, 50), percentile(created, 99), percentile(late, 99))
	return measured{webhook: answers, late: late, rate: rate}
}

func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return time.Hour // nothing was measured: no budget is kept
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)*p/100].Round(10 * time.Microsecond)
}

// webhookBuckets is the API server's own histogram of our webhook: how many calls took up to so many seconds.
func (c *cluster) webhookBuckets(t testing.TB) map[string]float64 {
	t.Helper()
	set, err := clients.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := set.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	buckets := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "apiserver_admission_webhook_admission_duration_seconds_bucket{") || !strings.Contains(line, `name="inject.tidewaiter.dev"`) {
			continue
		}
		_, rest, _ := strings.Cut(line, `le="`)
		le, _, _ := strings.Cut(rest, `"`)
		if value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64); err == nil {
			buckets[le] += value // of rejected and accepted ones
		}
	}
	return buckets
}

// quantile says below which bound of the histogram 99% of what came since before lie.
func quantile(before, after map[string]float64) string {
	total := after["+Inf"] - before["+Inf"]
	best, found := 0.0, false
	for le := range after {
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil || le == "+Inf" || after[le]-before[le] < 0.99*total {
			continue
		}
		if !found || bound < best {
			best, found = bound, true
		}
	}
	if !found || total == 0 {
		return "unknown"
	}
	return fmt.Sprintf("≤ %gs", best)
}

func (c *cluster) deletePods(t testing.TB) {
	ctx, cancel := contextWithPatience()
	defer cancel()
	if err := c.client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace("shop"), client.GracePeriodSeconds(0)); err != nil {
		t.Error(err)
	}
}
