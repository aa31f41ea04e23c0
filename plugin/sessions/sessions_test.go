package sessions

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestARateIsWhatLiesBetweenTwoReadings(t *testing.T) {
	begin := time.Date(2026, 11, 26, 14, 0, 0, 0, time.UTC)
	s := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	var r Rates
	for _, c := range []struct {
		after      time.Duration
		statements int64
		want       string
	}{
		{0, 100, "-"},
		{30 * time.Second, 100, "-"},
		{60 * time.Second, 160, "1.0"},
		{90 * time.Second, 160, "1.0"}, // the operator writes once a minute: this is no news
		{120 * time.Second, 60_160, "1,000"},
		{205 * time.Second, 60_160, "1,000"},
		{215 * time.Second, 60_160, "0"},
		{220 * time.Second, 5, "-"}, // the process was restarted
		{230 * time.Second, 10, "0.5"},
	} {
		s.Status.Statements = c.statements
		r.Seen([]*v1alpha1.Session{s}, begin.Add(c.after))
		if got := r.Of(s, begin.Add(c.after)); got != c.want {
			t.Errorf("after %s: %s, want %s", c.after, got, c.want)
		}
	}
	if r.Seen(nil, begin); r.Of(s, begin) != "-" {
		t.Error("a Session that is gone is remembered")
	}
}

func TestAStateThatIsNotKnownIsLost(t *testing.T) {
	for state, want := range map[v1alpha1.SessionState]v1alpha1.SessionState{"": "Lost", "Sleeping": "Lost", "Active": "Active", "Ended": "Ended", "Lost": "Lost"} {
		if got := State(&v1alpha1.Session{Status: v1alpha1.SessionStatus{State: state}}); got != want {
			t.Errorf("%q is %s", state, got)
		}
	}
}
