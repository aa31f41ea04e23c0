// Package operatortest is an operator that does what a test says: it serves the sidecars' gRPC service with a certificate
// authority of its own, and hands each stream to the test, which plays the operator's part message by message.
//
// It is for what a real operator would not do (lie, fall silent, go away at the wrong moment), and for tests of a sidecar
// without a cluster. It must not know the proxy or the controllers, so that it shares no mistake with either.
package operatortest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// patience bounds every wait.
const patience = 20 * time.Second

// Operator serves sidecars.
type Operator struct {
	// Address is its host:port, and stays over Stop and Restart.
	Address string
	// Identity is a folder as a pod's projected volume has it: a token, and the operator's CA.
	Identity string

	// Keep takes recordings and acknowledges them; nil: the test does. Set it before the first stream.
	Keep *Recordings

	t        testing.TB
	ca       *authority
	streams  chan *Stream
	listener net.Listener
	server   *grpc.Server
}

// Start runs an operator until the test ends.
func Start(t testing.TB) *Operator {
	t.Helper()
	o := &Operator{t: t, ca: newAuthority(t), streams: make(chan *Stream, 64), Identity: t.TempDir()}
	o.UseCA(o.ca.pem)
	o.UseToken("token-1")
	o.listen("127.0.0.1:0")
	t.Cleanup(o.Stop)
	return o
}

// UseToken puts another token into the identity folder.
func (o *Operator) UseToken(token string) { o.write("token", []byte(token)) }

// UseCA puts another CA (PEM) into the identity folder.
func (o *Operator) UseCA(pem []byte) { o.write("ca.crt", pem) }

// CA is the operator's own CA, in PEM.
func (o *Operator) CA() []byte { return o.ca.pem }

// write replaces a file as a kubelet does: whoever reads gets the old one or the new one.
func (o *Operator) write(name string, content []byte) {
	o.t.Helper()
	path := filepath.Join(o.Identity, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		o.t.Fatal(err)
	}
}

func (o *Operator) listen(address string) {
	o.t.Helper()
	var err error
	if o.listener, err = net.Listen("tcp", address); err != nil {
		o.t.Fatal(err)
	}
	o.Address = o.listener.Addr().String()
	leaf := o.ca.issue(o.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "tidewaiter-operator"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	o.server = grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: leaf.Chain, PrivateKey: leaf.Key})))
	sidecarv1alpha1.RegisterSidecarServiceServer(o.server, &service{operator: o})
	server, ln := o.server, o.listener
	go func() { _ = server.Serve(ln) }() // ends with Stop
}

// Stop ends every stream and closes the port.
func (o *Operator) Stop() { o.server.Stop() }

// Restart serves again after Stop, at the same address.
func (o *Operator) Restart() { o.listen(o.Address) }

// Streams are those that sidecars have opened and Next has not returned.
func (o *Operator) Streams() <-chan *Stream { return o.streams }

// Next waits for the next stream that a sidecar opens.
func (o *Operator) Next(t testing.TB) *Stream {
	t.Helper()
	select {
	case s := <-o.streams:
		return s
	case <-time.After(patience):
		t.Fatal("no sidecar opened a stream")
		return nil
	}
}

// Signer is a certificate with its key.
type Signer struct {
	Chain [][]byte // DER, leaf first
	Key   ed25519.PrivateKey
}

// PEM of the chain and of the key (PKCS #8).
func (s Signer) PEM(t testing.TB) (chain, key []byte) {
	t.Helper()
	for _, der := range s.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Signer is the certificate that signs bundles, with changes.
func (o *Operator) Signer(change ...func(*x509.Certificate)) Signer {
	o.t.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "tidewaiter-bundle"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	for _, f := range change {
		f(c)
	}
	return o.ca.issue(o.t, c)
}

// Listener is a certificate for a data source's host names.
func (o *Operator) Listener(hosts ...string) Signer {
	o.t.Helper()
	return o.ca.issue(o.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         ed25519.PrivateKey
	pem         []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tidewaiter-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{certificate: c, key: private, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t testing.TB, c *x509.Certificate) Signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.NotBefore = time.Now().Add(-2 * time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return Signer{Chain: [][]byte{der}, Key: private}
}

// Stream is a sidecar's stream, with what it said first.
type Stream struct {
	Token string // without "Bearer "
	Hello *sidecarv1alpha1.Hello

	server   grpc.BidiStreamingServer[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]
	sending  sync.Mutex
	received chan *sidecarv1alpha1.ConnectRequest
	end      chan error
	over     chan struct{} // closed when the sidecar says no more
	keep     *Recordings
}

type service struct {
	sidecarv1alpha1.UnimplementedSidecarServiceServer
	operator *Operator
}

// Connect hands the stream to the test.
func (s *service) Connect(server grpc.BidiStreamingServer[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]) error {
	first, err := server.Recv()
	if err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(server.Context())
	stream := &Stream{
		Token: strings.TrimPrefix(strings.Join(md.Get("authorization"), ","), "Bearer "), Hello: first.GetHello(), server: server,
		received: make(chan *sidecarv1alpha1.ConnectRequest, 4096), end: make(chan error, 1), over: make(chan struct{}), keep: s.operator.Keep,
	}
	if stream.keep != nil {
		stream.keep.Hello(stream.Hello)
	}
	s.operator.streams <- stream
	go stream.receive()
	select {
	case err := <-stream.end:
		return err
	case <-stream.over:
		return nil
	case <-server.Context().Done():
		return context.Cause(server.Context())
	}
}

func (s *Stream) receive() {
	defer close(s.over)
	defer close(s.received)
	for {
		msg, err := s.server.Recv()
		if err != nil {
			return
		}
		if chunk := msg.GetRecording(); chunk != nil && s.keep != nil {
			_ = s.send(&sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Recording{Recording: s.keep.Take(chunk)}})
			continue
		}
		if b := msg.GetHeartbeat(); b != nil && s.keep != nil {
			s.keep.beat(b)
			continue
		}
		s.received <- msg
	}
}

// Send sends a message to the sidecar.
func (s *Stream) Send(t testing.TB, msg *sidecarv1alpha1.ConnectResponse) {
	t.Helper()
	if err := s.send(msg); err != nil {
		t.Error(err)
	}
}

func (s *Stream) send(msg *sidecarv1alpha1.ConnectResponse) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.server.Send(msg)
}

// Snapshot sends a snapshot.
func (s *Stream) Snapshot(t testing.TB, snap *sidecarv1alpha1.Snapshot) {
	t.Helper()
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Snapshot{Snapshot: snap}})
}

// Lease sends a lease.
func (s *Stream) Lease(t testing.TB, seconds uint32) {
	t.Helper()
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Lease{Lease: &sidecarv1alpha1.Lease{Seconds: seconds}}})
}

// Revoke sends a revocation.
func (s *Stream) Revoke(t testing.TB, r *sidecarv1alpha1.Revocation) {
	t.Helper()
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Revocation{Revocation: r}})
}

// AckRecording acknowledges recordings.
func (s *Stream) AckRecording(t testing.TB, ack *sidecarv1alpha1.RecordingAck) {
	t.Helper()
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Recording{Recording: ack}})
}

// Lend answers a request for a part of a budget.
func (s *Stream) Lend(t testing.TB, a *sidecarv1alpha1.BudgetAnswer) {
	t.Helper()
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Budget{Budget: a}})
}

// End ends the stream with an error, or none.
func (s *Stream) End(err error) { s.end <- err }

// Recv waits for the sidecar's next message; io.EOF says that the stream has ended.
func (s *Stream) Recv() (*sidecarv1alpha1.ConnectRequest, error) {
	select {
	case msg, ok := <-s.received:
		if !ok {
			return nil, io.EOF
		}
		return msg, nil
	case <-time.After(patience):
		return nil, context.DeadlineExceeded
	}
}

// Until receives messages until one is what is looked for, and returns it.
func (s *Stream) Until(t testing.TB, found func(*sidecarv1alpha1.ConnectRequest) bool) *sidecarv1alpha1.ConnectRequest {
	t.Helper()
	for {
		msg, err := s.Recv()
		if err != nil {
			t.Fatalf("the sidecar did not say what it should: %v", err)
		}
		if found(msg) {
			return msg
		}
	}
}

// Verdict waits for the answer to a snapshot: a nil Nack is an Ack.
func (s *Stream) Verdict(t testing.TB, revision uint64) *sidecarv1alpha1.Nack {
	t.Helper()
	return s.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool {
		return m.GetAck().GetRevision() == revision || m.GetNack().GetRevision() == revision
	}).GetNack()
}
