package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-logr/logr/funcr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const testKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func waitingRequest(text string) *v1alpha1.AccessRequest {
	rows := int64(12000)
	return &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "reporting-7k2p4", UID: "u-1", CreationTimestamp: metav1.Now()},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: "exports", Summary: text, Reason: text,
			Requester: v1alpha1.Requester{Namespace: "shop", ServiceAccount: "report", Pod: &v1alpha1.PodReference{Name: "report-1"}},
			Statement: &v1alpha1.HeldStatement{Text: text, EstimatedRows: &rows, Digest: v1alpha1.Digest(strings.Repeat("a", 64))},
			ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
		},
	}
}

// told runs one sink against a real receiver, tells it of one request, and returns the log when done says so.
func told(t *testing.T, receive http.HandlerFunc, done func(log string, m *metrics) bool) string {
	t.Helper()
	server := httptest.NewTLSServer(receive)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(fmt.Appendf(nil, "sinks: [{name: s, url: '%s/SECRET-PATH', format: CloudEvents, caFile: %s, signingKey: whsec_%s}]", server.URL, ca, testKey))
	if err != nil {
		t.Fatal(err)
	}
	var log atomic.Value
	log.Store("")
	n := &Notifier{metrics: newMetrics(), o: Options{Log: funcr.New(func(_, args string) { log.Store(log.Load().(string) + args) }, funcr.Options{})}}
	transport, err := newTransport(&c.Sinks[0])
	if err != nil {
		t.Fatal(err)
	}
	l := &line{receiver{&c.Sinks[0], transport, time.Millisecond, func() {}}, make(chan notice, waiting)}
	n.lines = []*line{l}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go n.serve(ctx, l)
	n.tell(appeared(waitingRequest("SELECT 1"), time.Now()))
	for !done(log.Load().(string), n.metrics) {
		select {
		case <-ctx.Done():
			t.Fatalf("nothing came of it; log: %s", log.Load())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return log.Load().(string)
}

func TestANoticeOutlivesAnOutageIsSignedAndAValidCloudEvent(t *testing.T) {
	var calls atomic.Int32
	var took atomic.Bool
	var waited atomic.Int64
	told(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			waited.Store(time.Now().UnixNano())
			return
		}
		if time.Since(time.Unix(0, waited.Load())) < 900*time.Millisecond {
			t.Error("Retry-After was not waited for")
		}
		body, _ := io.ReadAll(r.Body)
		key, _ := base64.StdEncoding.DecodeString(testKey)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("webhook-signature") != want {
			t.Errorf("signature %q, not %q", r.Header.Get("webhook-signature"), want)
		}
		var e cloudevents.Event
		if err := json.Unmarshal(body, &e); err != nil || e.Validate() != nil || e.ID() != "u-1.pending" || e.Type() != "dev.tidewaiter.accessrequest.pending" {
			t.Errorf("%v: %s", err, body)
		}
		took.Store(true)
	}, func(string, *metrics) bool { return took.Load() })
	if calls.Load() != 3 {
		t.Errorf("%d attempts, not 3", calls.Load())
	}
}

func TestWhatIsGivenUpIsLoggedWithoutTheURLAndNoRedirectIsFollowed(t *testing.T) {
	for _, code := range []int{http.StatusForbidden, http.StatusTemporaryRedirect, http.StatusInternalServerError} {
		var calls atomic.Int32
		log := told(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", "/SECRET-PATH/elsewhere")
			w.WriteHeader(code)
		}, func(log string, _ *metrics) bool { return strings.Contains(log, "given up") })
		want := int32(1)
		if code >= 500 {
			want = attempts
		}
		if calls.Load() != want || strings.Contains(log, "SECRET") || strings.Contains(log, testKey) {
			t.Errorf("%d: %d attempts, not %d; log: %s", code, calls.Load(), want, log)
		}
	}
}

func TestAStatementCannotMentionLinkOrHideInAMessage(t *testing.T) {
	hostile := "<!channel> <https://evil.example|ok> *b* `c` ``` \u202eesrever"
	n := notice{Pending, time.Now(), waitingRequest(hostile)}
	for _, f := range []Format{Slack, Teams} {
		raw, _, err := n.body(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("\u202e")) || bytes.Contains(raw, []byte(`\u202e`)) {
			t.Errorf("%s turns the direction round: %s", f, raw)
		}
		if f == Teams && (bytes.Contains(raw, []byte(`"TextBlock"`)) || bytes.Contains(raw, []byte(`"FactSet"`))) {
			t.Errorf("Teams would read Markdown: %s", raw)
		}
	}
	for _, b := range n.slack()["blocks"].([]object) {
		if text, ok := b["text"].(object); ok && text["type"] == "mrkdwn" && strings.ContainsAny(text["text"].(string), "<>") {
			t.Errorf("Slack would read a mention: %s", text["text"])
		}
	}
	if c := strings.Join(n.commands(), "\n"); !strings.Contains(c, "kubectl tidewaiter approve -n data reporting-7k2p4") {
		t.Error(c)
	}
}

func TestOnlyWhatHasChangedOrIsRecentIsTold(t *testing.T) {
	now := time.Now()
	fresh, old, answered := waitingRequest("x"), waitingRequest("x"), waitingRequest("x")
	old.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	answered.Status.State = v1alpha1.RequestApproved
	answered.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionBrokenGlass, Status: metav1.ConditionTrue}}
	pending := waitingRequest("x")
	pending.Status.State = v1alpha1.RequestPending
	for name, c := range map[string]struct {
		got  []notice
		want string
	}{
		"a new one":                     {appeared(fresh, now), "[Pending]"},
		"an old one after a restart":    {appeared(old, now), "[]"},
		"the operator's first status":   {changed(fresh, pending), "[]"},
		"broken glass, loud one first":  {changed(fresh, answered), "[BrokenGlass Approved]"},
		"nothing new":                   {changed(answered, answered), "[]"},
		"deleted while somebody waited": {gone(fresh, now), "[Withdrawn]"},
	} {
		kinds := []Event{}
		for _, n := range c.got {
			kinds = append(kinds, n.event)
		}
		if fmt.Sprint(kinds) != c.want {
			t.Errorf("%s: %v, not %s", name, kinds, c.want)
		}
	}
}

func TestErrorsOfTheFileNameTheFieldAndNotTheSecret(t *testing.T) {
	for file, want := range map[string]string{
		"sinks: []": "sinks: has 0",
		"sinks: [{name: a, url: 'https://h/SECRET', format: Fax}]":                                 "sinks[0].format",
		"sinks: [{name: a, url: 'http://h/SECRET', format: Slack}]":                                "insecure: true",
		"sinks: [{name: a, url: 'https://u:SECRET@h/', format: Slack}]":                            "sinks[0].url",
		"sinks: [{name: a, url: 'https://h/', format: Slack, signingKey: SECRET}]":                 "sinks[0].signingKey",
		"sinks: [{name: a, url: 'https://h/', format: Slack, tint: SECRET}]":                       "tint",
		"sinks: [{name: a, url: 'https://h/', format: Slack, events: [Lost]}]":                     "events[0]",
		"sinks: [{name: a, url: 'https://h/', format: Slack, headers: {Webhook-Id: SECRET}}]":      "Webhook-Id",
		"sinks: [{name: a, url: 'https://h/', format: Slack, headers: {X: \"SECRET\\r\\nY: z\"}}]": "value of X",
	} {
		if _, err := Parse([]byte(file)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, which does not say %q, or too much", file, err, want)
		}
	}
}
