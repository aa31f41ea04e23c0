package distribute

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
)

func (s shop) getPolicy(name string) *v1alpha1.AccessPolicy {
	return &v1alpha1.AccessPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: name}}
}

func (s shop) getDataSource(name string) *v1alpha1.DataSource {
	return &v1alpha1.DataSource{ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: name}}
}

func TestAChangeOfOneDataSourceLeavesTheOthersAsTheyWere(t *testing.T) {
	s := start(t, nil).shop(t)
	s.dataSource(t, "stock")
	s.policy(t, "stock", "stock")
	c := s.connect(t, s.pod(t, "report", "orders", "stock"))
	first := c.snapshot(true)
	if len(first.GetDataSources()) != 2 {
		t.Fatalf("%d data sources", len(first.GetDataSources()))
	}
	began := time.Now()
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Predicates = v1alpha1.PredicatesDeny })
	second := c.snapshot(true)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if bytes.Equal(first.GetDataSources()[0].GetBundle(), second.GetDataSources()[0].GetBundle()) {
		t.Error("the changed policy's bundle is the same")
	}
	if !proto.Equal(first.GetDataSources()[1], second.GetDataSources()[1]) {
		t.Error("the other data source has changed")
	}
	eventually(t, "the Session to say generation 2", func() bool {
		st := s.session(t, "report", "orders").Status
		return len(st.Policies) == 1 && st.Policies[0].Generation == 2
	})
}

func TestACredentialIsRotatedWithoutAnotherBundle(t *testing.T) {
	s := start(t, nil).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	first := c.snapshot(true)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: "orders-db"}}
	began := time.Now()
	update(t, s.client, secret, func(x *corev1.Secret) { x.Data["password"] = []byte("n3w") })
	second := c.snapshot(true)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if second.GetDataSources()[0].GetCredential().GetPassword() != "n3w" {
		t.Error("the password is not the new one")
	}
	if !bytes.Equal(first.GetDataSources()[0].GetBundle(), second.GetDataSources()[0].GetBundle()) {
		t.Error("the bundle was made anew")
	}
	// Replaced by deleting it first: nothing is taken, and the new one comes.
	deleteNow(t, s.client, secret)
	eventually(t, "the Session to tell", func() bool {
		return bytes.Contains([]byte(s.session(t, "report", "orders").Status.Message), []byte("orders-db does not exist"))
	})
	s.secret(t, "orders-db", map[string]string{"username": "app", "password": "n3wer"})
	if got := c.snapshot(true).GetDataSources(); len(got) != 1 || got[0].GetCredential().GetPassword() != "n3wer" {
		t.Errorf("after the Secret was replaced: %d data sources", len(got))
	}
}

func TestWhatIsNoLongerAllowedIsRevoked(t *testing.T) {
	o := start(t, nil)
	for name, c := range map[string]struct {
		change func(*testing.T, shop)
		reason string
	}{
		"no policy selects the pod": {func(t *testing.T, s shop) { deleteNow(t, s.client, s.getPolicy("reporting")) }, ReasonNotSelected},
		"the namespace may not attach": {func(t *testing.T, s shop) {
			update(t, s.client, s.getDataSource("orders"), func(ds *v1alpha1.DataSource) {
				ds.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSame}
			})
		}, ReasonNamespaceNotAllowed},
		"the namespace is another team's": {func(t *testing.T, s shop) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.work}}
			update(t, s.client, ns, func(ns *corev1.Namespace) { ns.Labels["team"] = "other" })
		}, ReasonNamespaceNotAllowed},
		"the DataSource is gone": {func(t *testing.T, s shop) { deleteNow(t, s.client, s.getDataSource("orders")) }, ReasonDataSourceNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			s := o.shop(t)
			sc := s.connect(t, s.pod(t, "report", "orders"))
			sc.snapshot(true)
			began := time.Now()
			c.change(t, s)
			r := sc.next().GetRevocation()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if r.GetDataSource() != s.data+"/orders" || r.GetReason() != c.reason || r.GetMessage() == "" {
				t.Errorf("revocation %v", r)
			}
			eventually(t, "the Session to be Revoked", func() bool {
				return s.session(t, "report", "orders").Status.State == v1alpha1.SessionRevoked
			})
		})
	}
}

func TestWhatIsAllowedAgainComesBack(t *testing.T) {
	s := start(t, nil).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	c.snapshot(true)
	deleteNow(t, s.client, s.getPolicy("reporting"))
	if c.next().GetRevocation() == nil {
		t.Fatal("no revocation")
	}
	s.policy(t, "reporting", "orders")
	if got := c.snapshot(true); len(got.GetDataSources()) != 1 {
		t.Errorf("%d data sources", len(got.GetDataSources()))
	}
	eventually(t, "the Session to be Idle", func() bool { return s.session(t, "report", "orders").Status.State == v1alpha1.SessionIdle })
}

func TestAPodThatIsNotWhatItWasIsCutOff(t *testing.T) {
	o := start(t, nil)
	for name, c := range map[string]struct {
		change func(*testing.T, shop, *corev1.Pod)
		reason string
		state  v1alpha1.SessionState
	}{
		"the pod is deleted": {func(t *testing.T, s shop, pod *corev1.Pod) { deleteNow(t, s.client, pod) }, ReasonPodDeleted, v1alpha1.SessionEnded},
		"the namespace opts out": {func(t *testing.T, s shop, _ *corev1.Pod) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.work}}
			update(t, s.client, ns, func(ns *corev1.Namespace) { delete(ns.Labels, injection.NamespaceLabel) })
		}, string(injection.ReasonNamespaceNotEnabled), v1alpha1.SessionRevoked},
		"the proxy's image is changed": {func(t *testing.T, s shop, pod *corev1.Pod) {
			update(t, s.client, pod, func(p *corev1.Pod) { p.Spec.InitContainers[0].Image = "evil.example/proxy" })
		}, string(injection.ReasonWrongImage), v1alpha1.SessionRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			s := o.shop(t)
			pod := s.pod(t, "report", "orders")
			sc := s.connect(t, pod)
			sc.snapshot(true)
			eventually(t, "the Session", func() bool { return s.session(t, "report", "orders").Status.Revision > 0 })
			c.change(t, s, pod)
			if r := sc.next().GetRevocation(); r.GetDataSource() != "" || r.GetReason() != c.reason {
				t.Errorf("revocation %v", r)
			}
			if code, reason := sc.ended(); code != codes.PermissionDenied || reason != c.reason {
				t.Errorf("ended with %s %s", code, reason)
			}
			eventually(t, "the Session to say so", func() bool { return s.session(t, "report", "orders").Status.State == c.state })
		})
	}
}

func TestAPolicyThatDoesNotCompileLeavesTheOneBeforeInForce(t *testing.T) {
	s := start(t, nil).shop(t)
	c := s.connect(t, s.pod(t, "report", "orders"))
	first := c.snapshot(true)
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) {
		p.Spec.Rego = "package tidewaiter.custom\n\ndeny contains \"x\" if { http.send({}) }\n"
	})
	eventually(t, "the Session to tell", func() bool {
		st := s.session(t, "report", "orders").Status
		return bytes.Contains([]byte(st.Message), []byte("the policy before stays in force")) && st.Policies[0].Generation == 1
	})
	// Something else changes: the bundle stays as it was.
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: "orders-db"}}
	update(t, s.client, secret, func(x *corev1.Secret) { x.Data["password"] = []byte("n3w") })
	if second := c.snapshot(true); !bytes.Equal(first.GetDataSources()[0].GetBundle(), second.GetDataSources()[0].GetBundle()) {
		t.Error("the bundle has changed")
	}
	// A sidecar that has nothing gets nothing.
	fresh := s.connect(t, s.pod(t, "fresh", "orders"))
	if got := fresh.snapshot(true); len(got.GetDataSources()) != 0 {
		t.Error("a new sidecar was given a policy that does not compile")
	}
	// One that has it from another replica keeps it.
	kept := s.dial(t, s.token(t, s.pod(t, "kept", "orders")))
	kept.held = 1
	kept.hello()
	eventually(t, "the Session of the one that keeps", func() bool {
		return bytes.Contains([]byte(s.session(t, "kept", "orders").Status.Message), []byte(ReasonPolicyInvalid))
	})
	// Mended, all have it.
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Rego = "" })
	for name, sc := range map[string]*sidecar{"report": c, "fresh": fresh, "kept": kept} {
		if got := sc.snapshot(true); len(got.GetDataSources()) != 1 {
			t.Errorf("%s has %d data sources", name, len(got.GetDataSources()))
		}
	}
	eventually(t, "generation 3", func() bool { return s.session(t, "report", "orders").Status.Policies[0].Generation == 3 })
}

func TestARejectionIsInTheSessionUntilTheNextAck(t *testing.T) {
	s := start(t, nil).shop(t)
	s.dataSource(t, "stock")
	s.policy(t, "stock", "stock")
	c := s.connect(t, s.pod(t, "report", "orders", "stock"))
	c.snapshot(true)
	eventually(t, "the Session", func() bool { return s.session(t, "report", "orders").Status.Revision > 0 })
	before := s.session(t, "report", "orders").Status.Revision
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Predicates = v1alpha1.PredicatesDeny })
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Nack{Nack: &sidecarv1alpha1.Nack{
		Revision: c.snapshot(false).GetRevision(), DataSource: s.data + "/orders", Reason: "BundleExpired", Message: "it is too old",
	}}})
	eventually(t, "the rejection", func() bool {
		st := s.session(t, "report", "orders").Status
		return st.Rejection != nil && st.Rejection.Reason == "BundleExpired" && st.Revision == before && st.Policies[0].Generation == 1
	})
	if st := s.session(t, "report", "stock").Status; st.Rejection != nil {
		t.Errorf("the other data source: %v", st.Rejection)
	}
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Predicates = v1alpha1.PredicatesAllow })
	for s.session(t, "report", "orders").Status.Rejection != nil {
		c.snapshot(true)
		eventually(t, "the end of the rejection, or another snapshot", func() bool {
			st := s.session(t, "report", "orders").Status
			return st.Rejection == nil && st.Policies[0].Generation == 3
		})
	}
}

func TestTheRevisionIsAboveWhatTheSidecarHolds(t *testing.T) {
	s := start(t, nil).shop(t)
	pod := s.pod(t, "report", "orders")
	ahead := s.dial(t, s.token(t, pod))
	ahead.held = uint64(time.Now().Add(time.Hour).UnixMilli()) // another replica's clock
	ahead.hello()
	ahead.snapshot(true)
	// The pod's next stream replaces it.
	again := s.dial(t, s.token(t, pod))
	again.held = ahead.held
	again.hello()
	again.snapshot(true)
	if code, reason := ahead.ended(); code != codes.Aborted || reason != ReasonReplaced {
		t.Errorf("the earlier stream ended with %s %s", code, reason)
	}
	eventually(t, "the Session to be of the later stream", func() bool {
		st := s.session(t, "report", "orders").Status
		return st.Revision == int64(again.held) && st.State == v1alpha1.SessionIdle
	})
}

func TestWhoSpeaksOutOfTurnIsEnded(t *testing.T) {
	s := start(t, nil).shop(t)
	pod := s.pod(t, "report", "orders")
	c := s.dial(t, s.token(t, pod))
	c.ack()
	if code, reason := c.ended(); code != codes.InvalidArgument || reason != ReasonProtocol {
		t.Errorf("an Ack before Hello: %s %s", code, reason)
	}
	c = s.connect(t, pod)
	c.snapshot(true)
	c.hello()
	if code, reason := c.ended(); code != codes.InvalidArgument || reason != ReasonProtocol {
		t.Errorf("a second Hello: %s %s", code, reason)
	}
}
