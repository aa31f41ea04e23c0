package distribute

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/recording"
)

// sidecar is a scripted sidecar.
type sidecar struct {
	t      *testing.T
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]
	held   uint64
	key    ed25519.PrivateKey // to sign recordings with; nil, none is shown
	cancel context.CancelFunc
}

// token is a real one, bound to the pod.
func (o *operator) token(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	token, err := o.kube.PodToken(t.Context(), pod, Audience)
	must(t, err)
	return token
}

// dial opens a stream with a token, and says nothing yet.
func (o *operator) dial(t *testing.T, token string) *sidecar {
	t.Helper()
	c, err := o.open(t.Context(), token)
	must(t, err)
	c.t = t
	t.Cleanup(c.close)
	return c
}

func (o *operator) open(ctx context.Context, token string, more ...grpc.DialOption) (*sidecar, error) {
	bundle, err := o.keeper.TrustBundle()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	conn, err := grpc.NewClient(o.address, append(more, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: pool, ServerName: operatorName, MinVersion: tls.VersionTLS13,
	})), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxSent)))...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	stream, err := sidecarv1alpha1.NewSidecarServiceClient(conn).Connect(ctx)
	if err != nil {
		cancel()
		conn.Close()
		return nil, err
	}
	return &sidecar{conn: conn, stream: stream, cancel: cancel}, nil
}

func (c *sidecar) greeting() *sidecarv1alpha1.Hello {
	h := &sidecarv1alpha1.Hello{Version: "v0.1.0", Instance: "one", Revision: c.held}
	if c.key != nil {
		h.RecordingKey, h.RecordingProof = c.key.Public().(ed25519.PublicKey), recording.Prove(c.key, "one")
	}
	return h
}

func (c *sidecar) close() {
	c.cancel()
	c.conn.Close()
}

func (c *sidecar) send(msg *sidecarv1alpha1.ConnectRequest) {
	c.t.Helper()
	must(c.t, c.stream.Send(msg))
}

func (c *sidecar) hello() {
	c.t.Helper()
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{
		Hello: c.greeting(),
	}})
}

// connect dials for a pod and says Hello.
func (o *operator) connect(t *testing.T, pod *corev1.Pod) *sidecar {
	t.Helper()
	c := o.dial(t, o.token(t, pod))
	c.hello()
	return c
}

// next is the next message that is no lease.
func (c *sidecar) next() *sidecarv1alpha1.ConnectResponse {
	c.t.Helper()
	for {
		msg, err := c.stream.Recv()
		if err != nil {
			c.t.Fatalf("the stream ended: %v", err)
		}
		if msg.GetLease() == nil {
			return msg
		}
	}
}

// snapshot is the next message, a snapshot, which is acknowledged if ack is true.
func (c *sidecar) snapshot(ack bool) *sidecarv1alpha1.Snapshot {
	c.t.Helper()
	s := c.next().GetSnapshot()
	if s == nil {
		c.t.Fatal("the next message is no snapshot")
	}
	if s.GetRevision() <= c.held {
		c.t.Fatalf("revision %d after %d", s.GetRevision(), c.held)
	}
	c.held = s.GetRevision()
	if ack {
		c.ack()
	}
	return s
}

func (c *sidecar) ack() {
	c.t.Helper()
	c.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Ack{Ack: &sidecarv1alpha1.Ack{Revision: c.held}}})
}

// ended is how the stream ends.
func (c *sidecar) ended() (code codes.Code, reason string) {
	for {
		if _, err := c.stream.Recv(); err != nil {
			return ended(err)
		}
	}
}

func ended(err error) (codes.Code, string) {
	s, _ := status.FromError(err)
	reason, _, _ := strings.Cut(s.Message(), ":")
	return s.Code(), reason
}
