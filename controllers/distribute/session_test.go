package distribute

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"k8s.io/client-go/tools/events"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

func (c *sidecar) report(r *sidecarv1alpha1.Report) {
	c.t.Helper()
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Report{Report: r}})
}

// An alarm is written at once, although numbers wait for their turn, and an event says so.
func TestAnAlarmShowsInTheSessionAndAsAnEvent(t *testing.T) {
	told := events.NewFakeRecorder(8)
	s := start(t, func(_ *Options, o *session.Options) { o.Refresh, o.Events = time.Hour, told }).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	c.snapshot(true)
	eventually(t, "the Session", func() bool { return s.session(t, "report", "orders").Status.Revision > 0 })
	c.report(&sidecarv1alpha1.Report{DataSource: s.data + "/orders", Statements: 3, Alarms: 2})
	eventually(t, "the alarm", func() bool { return s.session(t, "report", "orders").Status.Alarms == 2 })
	select {
	case got := <-told.Events:
		if !strings.Contains(got, "Warning AttestationDisagreed 2 results were dropped") {
			t.Errorf("event %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("no event")
	}
	c.report(&sidecarv1alpha1.Report{DataSource: s.data + "/orders", Statements: 4, Alarms: 2})
	select {
	case got := <-told.Events:
		t.Errorf("the same alarms are told again: %q", got)
	case <-time.After(500 * time.Millisecond):
	}
}

func TestASidecarThatComesBackIsNotLost(t *testing.T) {
	s := start(t, nil).shop(t)
	pod := s.pod(t, "report", "orders")
	c := s.connect(t, pod)
	c.snapshot(true)
	eventually(t, "the Session", func() bool { return s.session(t, "report", "orders").Status.Revision > 0 })
	c.close()
	back := s.dial(t, s.token(t, pod))
	back.held = c.held
	back.hello()
	back.snapshot(true)
	eventually(t, "the later revision", func() bool { return s.session(t, "report", "orders").Status.Revision == int64(back.held) })
	back.close()
	eventually(t, "the Session to be Lost", func() bool { return s.session(t, "report", "orders").Status.State == v1alpha1.SessionLost })
}

func TestWhenTheOperatorStopsSidecarsAreAskedToGoElsewhere(t *testing.T) {
	s := start(t, nil).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	c.snapshot(true)
	go s.stop()
	if _, reason := c.ended(); reason != ReasonStopping {
		t.Errorf("ended with %s", reason)
	}
}

// The credential goes to the sidecar and nowhere else.
func TestTheCredentialIsNowhereToBeSeen(t *testing.T) {
	s := start(t, nil).shop(t)
	pod := s.pod(t, "report", "orders")
	token := s.token(t, pod)
	c := s.dial(t, token)
	c.hello()
	if got := c.snapshot(true).GetDataSources()[0].GetCredential().GetPassword(); got != canary {
		t.Fatalf("the sidecar has %q", got)
	}
	eventually(t, "the Session", func() bool { return s.session(t, "report", "orders").Status.Revision > 0 })
	deleteNow(t, s.client, s.getPolicy("reporting"))
	if c.next().GetRevocation() == nil {
		t.Fatal("no revocation")
	}
	eventually(t, "the Session to be Revoked", func() bool { return s.session(t, "report", "orders").Status.State == v1alpha1.SessionRevoked })
	written, err := json.Marshal(s.session(t, "report", "orders"))
	must(t, err)
	for place, text := range map[string]string{"log": s.log.String(), "Session": string(written)} {
		if strings.Contains(text, canary) || strings.Contains(text, token) {
			t.Errorf("the %s tells it: %s", place, text)
		}
	}
}

func TestABundleIsRenewedAndTheLeaseProlongedWhileTheStreamLasts(t *testing.T) {
	s := start(t, func(o *Options, _ *session.Options) { o.Lease, o.BundleLifetime = 3*time.Second, 4*time.Second }).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	first := c.snapshot(true)
	leases := 0
	for {
		msg, err := c.stream.Recv()
		must(t, err)
		if l := msg.GetLease(); l.GetSeconds() == 3 {
			leases++
		}
		if second := msg.GetSnapshot(); second != nil {
			if string(second.GetDataSources()[0].GetBundle()) == string(first.GetDataSources()[0].GetBundle()) || second.GetRevision() <= first.GetRevision() {
				t.Error("it is the same bundle")
			}
			break
		}
	}
	if leases == 0 {
		t.Error("the lease was not prolonged")
	}
}

func TestAStreamHasAnEnd(t *testing.T) {
	s := start(t, func(o *Options, _ *session.Options) { o.StreamAge = 500 * time.Millisecond }).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	c.snapshot(true)
	if code, reason := c.ended(); code != codes.Unavailable || reason != ReasonStreamAge {
		t.Errorf("ended with %s %s", code, reason)
	}
}
