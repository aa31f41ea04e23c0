package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/tidewaiter/tidewaiter/plugin/reader"
)

// kubelet forwards ports of pods to this machine's, as a node's kubelet forwards them to the pod's.
type kubelet struct {
	t        *testing.T
	mu       sync.Mutex
	forwards []httpstream.Connection
	begun    atomic.Int64
}

func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/portForward/") {
		http.NotFound(w, r)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		k.t.Error(err)
		return
	}
	streams := make(chan httpstream.Stream, 8)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return // it has answered
	}
	defer conn.Close()
	k.begun.Add(1)
	k.mu.Lock()
	k.forwards = append(k.forwards, conn)
	k.mu.Unlock()
	errors := map[string]httpstream.Stream{}
	for {
		select {
		case <-conn.CloseChan():
			return
		case s := <-streams:
			id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				errors[id] = s
				continue
			}
			go k.forward(s, errors[id])
		}
	}
}

// forward is one connection.
func (k *kubelet) forward(data, complaints httpstream.Stream) {
	defer complaints.Close()
	defer data.Close()
	conn, err := net.Dial("tcp", "127.0.0.1:"+data.Headers().Get(corev1.PortHeader))
	if err != nil {
		fmt.Fprint(complaints, err)
		return
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, data)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(data, conn)
}

// cut ends all forwards.
func (k *kubelet) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.forwards {
		_ = f.Close()
	}
	k.forwards = nil
}

// node is a node with that kubelet, and a pod of the operator on it whose port is that of the place's server.
func (p *place) node() *kubelet {
	p.t.Helper()
	k := &kubelet{t: p.t}
	server := httptest.NewTLSServer(k)
	p.t.Cleanup(func() { k.cut(); server.Close() })
	kube, err := kubernetes.NewForConfig(p.kube.Config)
	must(p.t, err)
	ctx := context.WithoutCancel(p.t.Context())
	node, err := kube.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}, metav1.CreateOptions{})
	must(p.t, err)
	p.t.Cleanup(func() { must(p.t, kube.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{})) })
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	must(p.t, err)
	number, err := strconv.Atoi(port)
	must(p.t, err)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	_, err = kube.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	must(p.t, err)

	p.kube.Apply(p.t, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: tidewaiter-system}}")
	no := int64(0)
	pods := kube.CoreV1().Pods("tidewaiter-system")
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "tidewaiter-operator-", Labels: map[string]string{"app.kubernetes.io/name": "tidewaiter", "app.kubernetes.io/component": "operator"},
		},
		Spec: corev1.PodSpec{NodeName: node.Name, Containers: []corev1.Container{{
			Name: "operator", Image: "operator", Ports: []corev1.ContainerPort{{Name: "recordings", ContainerPort: int32(p.listener.Addr().(*net.TCPAddr).Port)}},
		}}},
	}, metav1.CreateOptions{})
	must(p.t, err)
	p.t.Cleanup(func() { must(p.t, pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &no})) })
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	must(p.t, err)
	return k
}

func TestTheOperatorIsReachedThroughTheAPIServer(t *testing.T) {
	p := newPlace(t)
	sealed := p.shelf.put(t, sold, today)
	ada := p.person("ada", "tidewaiter-auditor")
	read := func(r *reader.Reader) {
		t.Helper()
		in, err := r.Open(t.Context(), sold.Segment(1))
		if !bytes.Equal(content(t, in, err), sealed) {
			t.Error("a segment is not as it was sealed")
		}
	}

	alone := p.source(reader.Options{Config: ada})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	if _, err := alone.Open(ctx, sold.Segment(1)); err == nil || !strings.Contains(err.Error(), "no pod of the operator is ready in namespace tidewaiter-system") {
		t.Errorf("without a pod: %v", err)
	}
	cancel()

	k := p.node()
	r := p.source(reader.Options{Config: ada})
	read(r)
	read(r)
	if n := k.begun.Load(); n != 1 {
		t.Errorf("%d port-forwards for two reads, want 1", n)
	}
	// The pod is gone, or the way to it: there is another one.
	k.cut()
	read(r)
	if n := k.begun.Load(); n != 2 {
		t.Errorf("%d port-forwards, want 2", n)
	}

	// Who may list pods and not forward their ports is told so.
	p.kube.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: looks, namespace: tidewaiter-system}
rules:
- {apiGroups: [""], resources: [pods, configmaps], verbs: [get, list]}
- {apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}`)
	looks := p.source(reader.Options{Config: p.person("lou", "looks")})
	if _, err := looks.Open(t.Context(), sold.Segment(1)); err == nil || !strings.Contains(err.Error(), "you may not forward ports of pod tidewaiter-system/tidewaiter-operator-") {
		t.Errorf("without the right: %v", err)
	}
}
