package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

func cluster(t *testing.T) (client.Client, string) {
	t.Helper()
	kube := kubetest.Shared(t)
	c, err := client.New(kube.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c, kube.NewNamespace(t, nil)
}

func TestReplicasHaveTheSameKeys(t *testing.T) {
	c, namespace := cluster(t)
	const replicas = 8
	var keys [replicas]*Keys
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = LoadKeys(t.Context(), c, namespace, origin); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, k := range keys {
		if k == nil || k.Public != keys[0].Public || !k.Recording.Equal(keys[0].Recording) || k.Verifier.Name() != origin {
			t.Fatal("two replicas have two keys")
		}
	}
	public, err := keys[0].RecordingPublic()
	if err != nil || !strings.Contains(public, "PUBLIC KEY") {
		t.Errorf("%q %v", public, err)
	}
	if v, err := ledger.NewVerifier(keys[0].Public); err != nil || v.KeyHash() != keys[0].Signer.KeyHash() {
		t.Error("what is published is not the signer's")
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: SecretName}, &secret); err != nil {
		t.Fatal(err)
	}
	secret.Data[secretLog] = []byte("PRIVATE+KEY+s3cret")
	if err := c.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(t.Context(), c, namespace, origin); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), SecretName) {
		t.Errorf("a broken Secret: %v", err)
	}
}

func TestTheAPIServerLetsOneOfTwoLeadersWin(t *testing.T) {
	c, namespace := cluster(t)
	m, r := newMemory(), &ConfigMap{Client: c, Namespace: namespace}
	for round := range 20 {
		var all sync.WaitGroup
		appendLeaf(t, m, 2*round)
		appendLeaf(t, m, 2*round+1)
		for range 2 {
			s := newSequencer(t, m, r)
			all.Go(func() {
				for range 3 {
					_, err := s.Tick(t.Context())
					if err != nil && !errors.Is(err, ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	drain(t, newSequencer(t, m, r), m)
	last := newSequencer(t, m, r)
	last.idles = checkEvery - 1
	if _, err := last.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	inLog(t, m, r, 40)
	var have corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: ConfigMapName}, &have); err != nil {
		t.Fatal(err)
	}
	if have.Data[KeyVerifier] != testKeys().Public || have.Data[KeyOrigin] != origin || have.Data[KeyRecording] == "" {
		t.Errorf("it does not say how the log is verified: %v", have.Data)
	}
}

// A ConfigMap that is deleted, or put back from a backup, must not begin a second log.
func TestALostConfigMapIsBroughtUpToWhatIsPublished(t *testing.T) {
	c, namespace := cluster(t)
	m, r := newMemory(), &ConfigMap{Client: c, Namespace: namespace}
	appendLeaf(t, m, 0)
	drain(t, newSequencer(t, m, r), m)
	var backup corev1.ConfigMap
	key := client.ObjectKey{Namespace: namespace, Name: ConfigMapName}
	if err := c.Get(t.Context(), key, &backup); err != nil {
		t.Fatal(err)
	}
	appendLeaf(t, m, 1)
	drain(t, newSequencer(t, m, r), m)
	backup.ResourceVersion = ""
	if err := c.Update(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	appendLeaf(t, m, 2)
	drain(t, newSequencer(t, m, r), m)
	inLog(t, m, r, 3)
	if err := c.Delete(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	appendLeaf(t, m, 3)
	drain(t, newSequencer(t, m, r), m)
	inLog(t, m, r, 4)

	// With another key there is no going on.
	data, err := newKeys(origin)
	if err != nil {
		t.Fatal(err)
	}
	other, err := parseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	s := newSequencer(t, m, r, func(o *Options) { o.Keys = other })
	if _, err := s.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), SecretName) {
		t.Errorf("a log with two keys: %v", err)
	}
	inLog(t, m, r, 4)
}

func attest(t *testing.T, a *Appender, pod *corev1.Pod) {
	t.Helper()
	err := a.Append(t.Context(), &ledger.Leaf{
		Kind: ledger.KindAttested, Pod: ledger.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		Attestation: &recording.Signed{Statement: []byte("{}"), Signature: []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func newPod(t *testing.T, c client.Client, namespace, name string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent.test/agent"}}},
	}
	if err := c.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func TestPodsThatHaveEndedAreGoneWhoeverWasLeaderThen(t *testing.T) {
	c, namespace := cluster(t)
	m, r, now := newMemory(), &register{}, time.Now()
	with := func(o *Options) {
		o.Ended, o.Now = EndedPods(c, c), func() time.Time { return now }
	}
	deleted, finished, replaced, alive := newPod(t, c, namespace, "deleted"), newPod(t, c, namespace, "finished"), newPod(t, c, namespace, "replaced"), newPod(t, c, namespace, "alive")
	a := &Appender{Objects: m}
	for _, p := range []*corev1.Pod{deleted, finished, replaced, alive} {
		attest(t, a, p)
	}
	now = time.Now()
	drain(t, newSequencer(t, m, r, with), m)

	// Nobody leads while they end.
	for _, p := range []*corev1.Pod{deleted, replaced} {
		if err := c.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
	newPod(t, c, namespace, "replaced")
	finished.Status.Phase = corev1.PodSucceeded
	if err := c.Status().Update(t.Context(), finished); err != nil {
		t.Fatal(err)
	}
	look := func(s *Sequencer) {
		t.Helper()
		if err := s.lookAtPods(t.Context()); err != nil {
			t.Fatal(err)
		}
		drain(t, s, m)
	}
	s := newSequencer(t, m, r, with)
	drain(t, s, m)
	look(s)
	if n := published(t, m).Tree.N; n != 4 {
		t.Fatalf("%d leaves: what is on its way when a pod ends is not waited for", n)
	}
	now = now.Add(podsGrace)
	for range 3 { // said once
		look(s)
	}
	// A leader that has not seen that says it again, with the same ID, which is dropped.
	if err := a.Append(t.Context(), &ledger.Leaf{Kind: ledger.KindGone, ID: goneID(string(deleted.UID)), Pod: ledger.Pod{Namespace: namespace, UID: string(deleted.UID)}, Gone: GoneDeleted}); err != nil {
		t.Fatal(err)
	}
	s = newSequencer(t, m, r, with)
	drain(t, s, m)
	gone := map[string]string{}
	check := published(t, m)
	for e, err := range ledger.NewReader(m, check).Leaves(t.Context(), 4, check.Tree.N) {
		if err != nil {
			t.Fatal(err)
		}
		gone[e.Leaf.Pod.UID] = e.Leaf.Gone
	}
	if check.Tree.N != 7 || gone[string(deleted.UID)] != GoneDeleted || gone[string(finished.UID)] != GoneFinished || gone[string(replaced.UID)] != GoneDeleted {
		t.Errorf("%d leaves, gone are %v", check.Tree.N, gone)
	}
	if len(s.seen.pods) != 1 || s.seen.pods[string(alive.UID)] == nil {
		t.Errorf("of %d pods more is expected", len(s.seen.pods))
	}
}

func TestALogRunsInAManager(t *testing.T) {
	kube := kubetest.Shared(t)
	c, namespace := cluster(t)
	mgr, err := manager.New(kube.Config, manager.Options{Metrics: server.Options{BindAddress: "0"}, Logger: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	options := &SetUpOptions{
		Namespace: namespace, Objects: m, Registerer: prometheus.NewRegistry(),
	}
	log, err := SetUp(t.Context(), mgr, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	l := leaf(0)
	if err := log.Append(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		signed, err := m.Get(t.Context(), ledger.CheckpointName)
		if err == nil {
			at, err := ledger.ParseCheckpoint(signed, log.Keys.Verifier.Name(), log.Keys.Verifier)
			if err != nil || at.Tree.N != 1 {
				t.Errorf("%d leaves, %v", at.Tree.N, err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is logged")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var system corev1.Namespace
	if err := c.Get(t.Context(), client.ObjectKey{Name: "kube-system"}, &system); err != nil || log.Keys.Verifier.Name() != "tidewaiter.dev/log/"+string(system.UID) {
		t.Errorf("the origin is %s", log.Keys.Verifier.Name())
	}
	options.Origin = "example.com/other"
	if _, err := SetUp(t.Context(), mgr, options); err == nil || !strings.Contains(err.Error(), "--log-origin") {
		t.Errorf("the origin of a log is changed: %v", err)
	}
}
