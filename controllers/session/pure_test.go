package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	every = intervals{refresh: time.Minute, flap: 10 * time.Second, patience: 3 * time.Second, grace: 15 * time.Second}
)

func written(st v1alpha1.SessionStatus) *entry {
	return &entry{name: "x", written: &st, writtenAt: noon, wanted: *st.DeepCopy()}
}

func TestWhatIsWrittenAtOnceAndWhatWaits(t *testing.T) {
	base := v1alpha1.SessionStatus{
		State: v1alpha1.SessionIdle, Revision: 7, Replica: "a", Policies: []v1alpha1.SessionPolicy{{Name: "p", Generation: 1}},
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.SessionStatus)
		after  time.Duration // since the last write
		urgent bool
	}{
		"nothing":              {func(*v1alpha1.SessionStatus) {}, -1, false},
		"a number":             {func(s *v1alpha1.SessionStatus) { s.Statements++ }, time.Minute, false},
		"a connection":         {func(s *v1alpha1.SessionStatus) { s.State, s.Connections = v1alpha1.SessionActive, 1 }, 10 * time.Second, true},
		"a revocation":         {func(s *v1alpha1.SessionStatus) { s.State = v1alpha1.SessionRevoked }, 0, true},
		"an acknowledgement":   {func(s *v1alpha1.SessionStatus) { s.Policies = []v1alpha1.SessionPolicy{{Name: "p", Generation: 2}} }, 0, true},
		"a refusal":            {func(s *v1alpha1.SessionStatus) { s.Rejection = &v1alpha1.SessionRejection{Reason: "X"} }, 0, true},
		"another replica":      {func(s *v1alpha1.SessionStatus) { s.Replica = "b" }, 0, true},
		"another policy":       {func(s *v1alpha1.SessionStatus) { s.Policies = append(s.Policies, v1alpha1.SessionPolicy{Name: "q"}) }, 0, true},
		"the last activity":    {func(s *v1alpha1.SessionStatus) { s.LastActivity = metaTime(noon) }, time.Minute, false},
		"a DataSource's spec":  {func(s *v1alpha1.SessionStatus) { s.DataSourceGeneration = 2 }, 0, true},
		"a connection's end":   {func(s *v1alpha1.SessionStatus) { s.Connections = 3 }, time.Minute, false},
		"that it is lost":      {func(s *v1alpha1.SessionStatus) { s.State = v1alpha1.SessionLost }, 0, true},
		"a message for people": {func(s *v1alpha1.SessionStatus) { s.Message = "x" }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := written(base)
			e.since = noon
			c.change(&e.wanted)
			at, urgent := e.due(every)
			if c.after < 0 {
				if !at.IsZero() || urgent {
					t.Errorf("due at %v", at)
				}
				return
			}
			if at.Sub(noon) != c.after || urgent != c.urgent {
				t.Errorf("due after %v, urgent %v", at.Sub(noon), urgent)
			}
		})
	}
}

func TestASessionThatNobodyAcknowledgedWaitsAMoment(t *testing.T) {
	e := &entry{first: noon}
	if at, _ := e.due(every); at.Sub(noon) != 3*time.Second {
		t.Errorf("due after %v", at.Sub(noon))
	}
	e.wanted.Revision = 1
	if at, urgent := e.due(every); at.After(noon) || !urgent {
		t.Errorf("acknowledged, and due after %v", at.Sub(noon))
	}
	e.notBefore = noon.Add(time.Hour)
	if at, _ := e.due(every); at != e.notBefore {
		t.Error("a failure is tried again too early")
	}
}

func TestTheBreakerOpensAndRecovers(t *testing.T) {
	b := newBreaker(10, 100, noon)
	n := 0
	for b.take(1, true, noon) {
		n++
	}
	if open, trips := b.state(noon); n != 100 || !open || trips != 1 {
		t.Fatalf("%d at once, open %v, trips %d", n, open, trips)
	}
	now := noon.Add(time.Second)
	if b.take(1, false, now) {
		t.Error("numbers are written while it is open")
	}
	n = 0
	for b.take(1, true, now) {
		n++
	}
	if n != 10 {
		t.Errorf("%d urgent ones in a second", n)
	}
	now = now.Add(4900 * time.Millisecond)
	if open, _ := b.state(now); !open {
		t.Error("it closes before half of it is filled")
	}
	now = now.Add(200 * time.Millisecond)
	if open, trips := b.state(now); open || trips != 1 || !b.take(1, false, now) {
		t.Errorf("it does not recover: open %v, trips %d", open, trips)
	}
	// However long it rests, it holds no more than its burst.
	now = now.Add(time.Hour)
	n = 0
	for b.take(1, true, now) {
		n++
	}
	if _, trips := b.state(now); n != 100 || trips != 2 {
		t.Errorf("%d after an hour, trips %d", n, trips)
	}
}

func TestNoSessionIsLargerThanItMayBe(t *testing.T) {
	long := strings.Repeat("é", 4000)
	who := Who{Namespace: strings.Repeat("n", 63), Pod: strings.Repeat("p", 253), UID: "u", ServiceAccount: strings.Repeat("s", 253)}
	who.DataSource = types.NamespacedName{Namespace: strings.Repeat("d", 63), Name: strings.Repeat("o", 253)}
	s := who.object(who.Name())
	s.Status = v1alpha1.SessionStatus{
		Message: long, Replica: long, Recording: long, ChainHead: long,
		Rejection: &v1alpha1.SessionRejection{Reason: long, Message: long},
	}
	for i := range 100 {
		s.Status.Policies = append(s.Status.Policies, v1alpha1.SessionPolicy{Name: v1alpha1.ObjectName(fmt.Sprintf("%d-%s", i, strings.Repeat("x", 200)))})
	}
	fit(s)
	if n := size(s); n > MaxSize {
		t.Errorf("%d bytes", n)
	}
	if !strings.Contains(s.Status.Message, "policies are not listed") || s.Status.Recording != "" || len(s.Status.Message) > maxText {
		t.Errorf("message %q, recording %q", s.Status.Message, s.Status.Recording)
	}
}

func TestNamesAndLabelsAreValidAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, pod := range []string{"p", strings.Repeat("p", 190) + "a", strings.Repeat("p", 253), strings.Repeat("p", 252) + "q"} {
		for _, ds := range []types.NamespacedName{{Namespace: "a", Name: "orders"}, {Namespace: "b", Name: strings.Repeat("o", 252) + "1"}, {Namespace: "b", Name: strings.Repeat("o", 252) + "2"}} {
			w := Who{Pod: pod, DataSource: ds}
			for _, name := range []string{w.Name(), w.longName()} {
				if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 || len(name) > maxName {
					t.Errorf("%q: %v", name, errs)
				}
				if seen[name] {
					t.Errorf("%q twice", name)
				}
				seen[name] = true
			}
			for _, value := range Labels(ds) {
				if errs := validation.IsValidLabelValue(value); len(errs) > 0 {
					t.Errorf("label %q: %v", value, errs)
				}
			}
		}
	}
}

func TestWhatTheReaperDoes(t *testing.T) {
	running := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	finished := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}
	ended := noon.Add(-2 * time.Hour)
	for name, c := range map[string]struct {
		state       v1alpha1.SessionState
		endedAt     time.Time
		age         time.Duration
		pod         *corev1.Pod
		replicaGone bool
		want        verdict
	}{
		"a running pod's":                     {v1alpha1.SessionIdle, time.Time{}, time.Hour, running, false, leave},
		"a gone pod's":                        {v1alpha1.SessionActive, time.Time{}, time.Hour, nil, false, end},
		"a finished pod's":                    {v1alpha1.SessionIdle, time.Time{}, time.Hour, finished, false, end},
		"a gone pod's that was lost":          {v1alpha1.SessionLost, time.Time{}, time.Hour, nil, false, end},
		"one made just now":                   {v1alpha1.SessionIdle, time.Time{}, time.Second, nil, false, leave},
		"one whose replica is gone":           {v1alpha1.SessionIdle, time.Time{}, time.Hour, running, true, lose},
		"one that was lost already":           {v1alpha1.SessionLost, time.Time{}, time.Hour, running, true, leave},
		"one that was revoked":                {v1alpha1.SessionRevoked, time.Time{}, time.Hour, running, true, leave},
		"one that ended long ago":             {v1alpha1.SessionEnded, ended, 3 * time.Hour, nil, false, remove},
		"one that ended now":                  {v1alpha1.SessionEnded, noon, 3 * time.Hour, nil, false, leave},
		"one that ended, nobody knows when":   {v1alpha1.SessionEnded, time.Time{}, 3 * time.Hour, nil, false, end},
		"one of which nothing was ever heard": {"", time.Time{}, time.Hour, nil, false, end},
	} {
		t.Run(name, func(t *testing.T) {
			s := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(noon.Add(-c.age))}}
			s.Status.State = c.state
			if !c.endedAt.IsZero() {
				s.Status.EndedAt = metaTime(c.endedAt)
			}
			if got := judge(s, c.pod, c.replicaGone, time.Hour, noon); got != c.want {
				t.Errorf("verdict %d, want %d", got, c.want)
			}
		})
	}
}
