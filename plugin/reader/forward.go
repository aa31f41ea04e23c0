package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
)

// operatorPods selects the operator's pods, as config/manager and the chart label them.
const operatorPods = "app.kubernetes.io/name=tidewaiter,app.kubernetes.io/component=operator"

// forwardPatience is how long a port-forward may take to begin.
const forwardPatience = 30 * time.Second

// forwarder reaches the operator through the API server, by a port-forward to one of its pods, and by another one when that ends. Its
// listener on this machine's loopback is no way around anything: who connects to it needs a token, as everybody does.
type forwarder struct {
	kube      kubernetes.Interface
	config    *rest.Config
	namespace string

	mu      sync.Mutex
	current *forward
	closed  bool
}

// forward is one port-forward.
type forward struct {
	address string
	stop    context.CancelFunc
	ended   chan struct{}
}

func newForwarder(kube kubernetes.Interface, config *rest.Config, namespace string) *forwarder {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // --request-timeout is for requests, and would end the port-forward
	return &forwarder{kube: kube, config: config, namespace: namespace}
}

// dial connects to the operator: it is the DialContext of an http.Transport.
func (f *forwarder) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	way, err := f.way(ctx)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", way.address)
}

// way is the port-forward as it is, or another one if it has ended.
func (f *forwarder) way(ctx context.Context) (*forward, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("reader: closed")
	}
	if f.current != nil {
		select {
		case <-f.current.ended:
		default:
			return f.current, nil
		}
	}
	var err error
	f.current, err = f.begin(ctx)
	return f.current, err
}

func (f *forwarder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.current != nil {
		f.current.stop()
		<-f.current.ended
	}
}

// begin forwards a free port of this machine to a pod of the operator.
func (f *forwarder) begin(ctx context.Context) (*forward, error) {
	pod, port, err := f.pod(ctx)
	if err != nil {
		return nil, err
	}
	dialer, err := f.dialer(pod)
	if err != nil {
		return nil, err
	}
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx)) // it serves more than the request that began it
	ready := make(chan struct{})
	pf, err := portforward.NewOnAddressesForStreamingWithContext(lasting, dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(int(port))}, ready, io.Discard, io.Discard)
	if err != nil {
		stop()
		return nil, err
	}
	w := &forward{stop: stop, ended: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		defer close(w.ended)
		defer stop()
		failed <- pf.ForwardPorts()
	}()
	timer := time.NewTimer(forwardPatience)
	defer timer.Stop()
	select {
	case <-ready:
	case err := <-failed:
		return nil, f.explain(pod, err)
	case <-ctx.Done():
		stop()
		return nil, ctx.Err()
	case <-timer.C:
		stop()
		return nil, fmt.Errorf("the port-forward to pod %s/%s does not begin within %v: try again, or reach the operator with --recordings-url", f.namespace, pod, forwardPatience)
	}
	ports, err := pf.GetPorts()
	if err != nil || len(ports) != 1 {
		stop()
		return nil, fmt.Errorf("the port-forward to pod %s/%s has no port: %w", f.namespace, pod, err)
	}
	w.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local)))
	return w, nil
}

func (f *forwarder) explain(pod string, err error) error {
	if err == nil {
		err = errors.New("it has ended")
	}
	if apierrors.IsForbidden(err) || strings.Contains(err.Error(), "orbidden") {
		return backoff.Permanent(fmt.Errorf("you may not forward ports of pod %s/%s: ask for a RoleBinding in namespace %s to Role tidewaiter-recordings-access, or reach the operator with --recordings-url: %w",
			f.namespace, pod, f.namespace, err))
	}
	return fmt.Errorf("the port-forward to pod %s/%s: %w", f.namespace, pod, err)
}

// dialer speaks to the API server over WebSocket, as newer ones do, and over SPDY where that is not understood.
func (f *forwarder) dialer(pod string) (httpstream.Dialer, error) {
	target := f.kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(f.namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(f.config)
	if err != nil {
		return nil, err
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, f.config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// pod picks one of the operator's pods that are ready, and its port for auditors.
func (f *forwarder) pod(ctx context.Context) (name string, port int32, err error) {
	pods, err := f.kube.CoreV1().Pods(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: operatorPods, Limit: 100})
	if apierrors.IsForbidden(err) {
		return "", 0, backoff.Permanent(fmt.Errorf("you may not list pods in namespace %s: ask for a RoleBinding there to Role tidewaiter-recordings-access, or reach the operator with --recordings-url: %w", f.namespace, err))
	}
	if err != nil {
		return "", 0, fmt.Errorf("looking for the operator's pods in namespace %s: %w", f.namespace, err)
	}
	without := 0
	for _, i := range rand.Perm(len(pods.Items)) {
		pod := &pods.Items[i]
		if !ready(pod) {
			continue
		}
		if port := portOf(pod); port != 0 {
			return pod.Name, port, nil
		}
		without++
	}
	if without > 0 {
		return "", 0, fmt.Errorf("the operator's pods in namespace %s have no port named %s: they are older than this command, or keep no recordings", f.namespace, wire.PortName)
	}
	return "", 0, fmt.Errorf("no pod of the operator is ready in namespace %s: kubectl tidewaiter doctor says why; is it another namespace (--operator-namespace)?", f.namespace)
}

func ready(pod *corev1.Pod) bool {
	if !pod.DeletionTimestamp.IsZero() {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func portOf(pod *corev1.Pod) int32 {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == wire.PortName {
				return p.ContainerPort
			}
		}
	}
	return 0
}
