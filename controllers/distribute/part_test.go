package distribute

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
)

// workshop makes parts for one pod, with a clock that tests set.
type workshop struct {
	*factory
	id     identity
	claim  claimed
	signer *authority.Leaf
	clock  time.Time
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{clock: noon}
	now := func() time.Time { return w.clock }
	keeper := authority.NewKeeper(authority.KeeperOptions{Client: fake.NewClientBuilder().Build(), Namespace: "n", Now: now})
	must(t, keeper.Load(t.Context()))
	w.factory = &factory{authority: keeper, lifetime: 24 * time.Hour, now: now, slots: make(chan struct{}, compilers)}
	w.id = identity{
		pod:       &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "report", UID: "u"}},
		namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "shop"}}},
	}
	ds, policies := example()
	w.claim = claimed{name: orders, verdict: grant, ds: ds, policies: policies, material: credential.Material{Username: "u", Password: "p"}}
	w.sign(t)
	return w
}

func (w *workshop) sign(t *testing.T) {
	t.Helper()
	var err error
	w.signer, err = w.authority.BundleSigner()
	must(t, err)
}

func (w *workshop) make(t *testing.T, prev *part, revision uint64) *part {
	t.Helper()
	p, err := w.build(w.id, w.claim, prev, revision, w.signer)
	must(t, err)
	return p
}

func TestAnUnchangedPartIsSentAgainAsItWas(t *testing.T) {
	w := newWorkshop(t)
	first := w.make(t, nil, 1)
	if again := w.make(t, first, 2); again.message != first.message || again.revision != 1 {
		t.Errorf("made anew, with revision %d", again.revision)
	}
	w.claim.material.Password = "new"
	rotated := w.make(t, first, 3)
	if !bytes.Equal(rotated.message.GetBundle(), first.message.GetBundle()) || rotated.message.GetCredential().GetPassword() != "new" {
		t.Error("a new password came with another bundle, or not at all")
	}
}

func TestABundleIsMadeAnewWhenItHasTo(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *workshop){
		"a policy's generation":  func(_ *testing.T, w *workshop) { w.claim.policies[0].Generation++ },
		"a policy of this name":  func(_ *testing.T, w *workshop) { w.claim.policies[0].UID = "another" },
		"one policy less":        func(_ *testing.T, w *workshop) { w.claim.policies = w.claim.policies[:1] },
		"the DataSource is new":  func(_ *testing.T, w *workshop) { w.claim.ds = w.claim.ds.DeepCopy(); w.claim.ds.UID = "another" },
		"half of its life over":  func(_ *testing.T, w *workshop) { w.clock = w.clock.Add(13 * time.Hour) },
		"the signer was renewed": func(t *testing.T, w *workshop) { w.clock = w.clock.Add(4 * 24 * time.Hour); w.sign(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t)
			first := w.make(t, nil, 1)
			change(t, w)
			second := w.make(t, first, 2)
			if second.revision != 2 || bytes.Equal(second.message.GetBundle(), first.message.GetBundle()) || second.signer != w.signer {
				t.Errorf("revision %d", second.revision)
			}
		})
	}
}

func TestWhatDoesNotCompileIsMadeFromWhatWasBefore(t *testing.T) {
	w := newWorkshop(t)
	first := w.make(t, nil, 1)
	broken := w.claim.policies[1].DeepCopy()
	broken.Generation++
	broken.Spec.Rego = "package tidewaiter.custom\n\nallow := true\n"
	w.claim.policies = []*v1alpha1.AccessPolicy{w.claim.policies[0], broken}
	kept, err := w.build(w.id, w.claim, first, 2, w.signer)
	if !errors.Is(err, errKept) || kept.message != first.message || kept.policies[1].generation != 1 {
		t.Fatalf("%v", err)
	}
	// Even then it is renewed before it expires, and by the signer of the day.
	w.clock = w.clock.Add(4 * 24 * time.Hour)
	w.sign(t)
	renewed, err := w.build(w.id, w.claim, kept, 3, w.signer)
	if !errors.Is(err, errKept) || renewed.revision != 3 || renewed.signer != w.signer || renewed.policies[1].generation != 1 {
		t.Errorf("revision %d, %v", renewed.revision, err)
	}
	if _, err := w.build(w.id, w.claim, nil, 4, w.signer); err == nil || errors.Is(err, errKept) {
		t.Errorf("without anything before: %v", err)
	}
}

func TestWhatADataSourceSaysOfRecordingsReachesTheSidecar(t *testing.T) {
	w := newWorkshop(t)
	for _, c := range []struct {
		spec v1alpha1.Recording
		want *sidecarv1alpha1.Recording
	}{
		{v1alpha1.Recording{}, &sidecarv1alpha1.Recording{Rows: true}},
		{v1alpha1.Recording{Rows: "Masked", Durability: "Statement", OnRecorderLoss: "Deny"}, &sidecarv1alpha1.Recording{Rows: true}},
		{v1alpha1.Recording{Rows: "None", Durability: "Async"}, &sidecarv1alpha1.Recording{Asynchronous: true}},
		{v1alpha1.Recording{Rows: "Digests", OnRecorderLoss: "Serve"}, &sidecarv1alpha1.Recording{Digests: true, Serve: true}},
		{v1alpha1.Recording{OnRecorderLoss: "serve"}, &sidecarv1alpha1.Recording{Rows: true}},
	} {
		w.claim.ds.Spec.Recording = c.spec
		if got := w.make(t, nil, 1).message.GetRecording(); !proto.Equal(got, c.want) {
			t.Errorf("%+v: %v", c.spec, got)
		}
	}
}

func TestUnknownSettingsAreTheStrictOnes(t *testing.T) {
	w := newWorkshop(t)
	w.claim.ds.Spec.Postgres.TLS.Mode = "prefer"
	w.claim.ds.Spec.Recording = v1alpha1.Recording{Rows: "Some", Durability: "Never"}
	m := w.make(t, nil, 1).message
	if m.GetPostgres().GetTls().GetMode() != sidecarv1alpha1.TLSMode_TLS_MODE_VERIFY_FULL || !m.GetRecording().GetRows() || m.GetRecording().GetAsynchronous() {
		t.Errorf("%v %v", m.GetPostgres().GetTls().GetMode(), m.GetRecording())
	}
	w.claim.ds.Spec.Protocol = "gopher"
	if _, err := w.build(w.id, w.claim, nil, 1, w.signer); err == nil {
		t.Error("a protocol that is not known is served")
	}
}

func TestMaskKeysAreOneForAllPodsAndTheOwnersIfThereIsOne(t *testing.T) {
	w := newWorkshop(t)
	a := w.make(t, nil, 1).message.GetMaskKey()
	w.id.pod = w.id.pod.DeepCopy()
	w.id.pod.UID = "another"
	if b := w.make(t, nil, 1).message.GetMaskKey(); !bytes.Equal(a, b) || len(a) != 32 {
		t.Error("another pod has another key")
	}
	w.claim.name = stock
	if b := w.make(t, nil, 1).message.GetMaskKey(); bytes.Equal(a, b) {
		t.Error("another data source has the same key")
	}
	w.claim.material.MaskKey = bytes.Repeat([]byte("k"), 32)
	if b := w.make(t, nil, 1).message.GetMaskKey(); !bytes.Equal(b, w.claim.material.MaskKey) {
		t.Error("the owner's key is not used")
	}
}

func TestAPolicyThatMakesTheCompilerFailEndsNothingElse(t *testing.T) {
	w := newWorkshop(t)
	for range compilers + 1 { // a place that is not given back would be missed
		if p, err := w.compile(w.id, nil, nil, 1, w.signer); err == nil || p != nil {
			t.Fatalf("a DataSource that is nil: %v", err)
		}
	}
	w.make(t, nil, 1)
}
