package distribute

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Server serves sidecars. It is a manager.Runnable that every replica runs.
type Server struct {
	sidecarv1alpha1.UnimplementedSidecarServiceServer

	o             Options
	hub           *hub
	gate          *gate
	refusals      *throttle // of what is logged: whoever is refused can try without end
	storeTrouble  *throttle
	chunkBytes    *semaphore.Weighted // of recordings that wait
	factory       *factory
	authenticator *authenticator
	metrics       *metrics
	ready         atomic.Bool
}

// compilers is how many bundles are made at the same time: it is work for the
// processor alone, and streams have to be served beside it.
const compilers = 2

// New returns a Server that serves nobody before Start.
func New(o Options) (*Server, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	s := &Server{
		o: o, hub: newHub(o.MaxStreams), refusals: newThrottle(), storeTrouble: newThrottle(), chunkBytes: semaphore.NewWeighted(maxChunkBytes),
		authenticator: newAuthenticator(o.Tokens, o.Now),
		factory:       &factory{authority: o.Authority, lifetime: o.BundleLifetime, now: o.Now, slots: make(chan struct{}, compilers)},
	}
	s.metrics = newMetrics(o.Registerer, s.hub.count)
	s.gate = newGate(o.MaxStreams+o.MaxStreams/4+16, s.metrics.crowded.Inc)
	o.Secrets.OnChange(s.secretEvent)
	return s, nil
}

// NeedLeaderElection is false: any replica serves streams.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready is a healthz.Checker: no error once sidecars are served.
func (s *Server) Ready(*http.Request) error {
	if !s.ready.Load() {
		return errors.New("the server for sidecars is not serving yet")
	}
	return nil
}

// Start serves until ctx ends, and then asks the sidecars to connect to another
// replica. It listens only when the cache has everything: a sidecar must not be
// told that what the operator has not read yet does not exist.
func (s *Server) Start(ctx context.Context) error {
	if err := s.follow(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	select {
	case <-s.o.Approvals.Synced():
	case <-ctx.Done():
		return nil
	}
	listener := s.o.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", s.o.Listen); err != nil {
			return err
		}
	}
	server := s.grpc()
	sidecarv1alpha1.RegisterSidecarServiceServer(server, s)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		s.ready.Store(false)
		s.hub.close(unavailable(ReasonStopping, "this replica of the operator stops: connect again"))
		stop(server)
	}()
	s.ready.Store(true)
	s.o.Log.Info("serving sidecars", "address", listener.Addr().String())
	err := server.Serve(s.gate.over(listener))
	if ctx.Err() == nil {
		return err
	}
	<-stopped
	return nil
}

// unlessEnded is err, or nil where what failed was told to end.
func unlessEnded(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// stop lets the streams say why they end, and waits no longer than that takes.
func stop(server *grpc.Server) {
	timer := time.AfterFunc(5*time.Second, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
}

func (s *Server) grpc() *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.o.Authority.TLSConfig(s.o.Names...))),
		grpc.MaxRecvMsgSize(maxReceived), grpc.MaxSendMsgSize(maxSent),
		grpc.MaxHeaderListSize(maxToken+4<<10),
		grpc.MaxConcurrentStreams(4),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: time.Minute, Time: 30 * time.Second, Timeout: 10 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
	)
}

// world is the cache as plan sees it.
func (s *Server) world(ctx context.Context) world {
	return world{
		dataSource: func(name types.NamespacedName) (*v1alpha1.DataSource, error) {
			return find(ctx, s.o.Cache, name, &v1alpha1.DataSource{})
		},
		policies: func(namespace string) ([]v1alpha1.AccessPolicy, error) {
			var list v1alpha1.AccessPolicyList
			err := s.o.Cache.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
			return list.Items, err
		},
		secret: s.o.Secrets.Get,
	}
}

// identify judges the caller's pod as the cache has it.
func (s *Server) identify(ctx context.Context, c caller, established bool) (identity, error) {
	pod, err := find(ctx, s.o.Cache, types.NamespacedName{Namespace: c.namespace, Name: c.pod}, &corev1.Pod{})
	if err != nil {
		return identity{}, unavailable(ReasonInternal, "the operator cannot read its cache: try again")
	}
	namespace, err := find(ctx, s.o.Cache, types.NamespacedName{Name: c.namespace}, &corev1.Namespace{})
	if err != nil {
		return identity{}, unavailable(ReasonInternal, "the operator cannot read its cache: try again")
	}
	return identify(c, pod, namespace, &s.o.Injection, established)
}

// find reads an object that is not to be changed; nil if there is none.
func find[T client.Object](ctx context.Context, reader client.Reader, name types.NamespacedName, into T) (T, error) {
	var none T
	err := reader.Get(ctx, name, into, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return none, err
	}
	return into, nil
}

// Connect serves one sidecar, see the protocol.
func (s *Server) Connect(grpcStream grpc.BidiStreamingServer[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]) error {
	ctx := grpcStream.Context()
	caller, id, err := s.admit(ctx)
	if err != nil {
		s.metrics.refused.WithLabelValues(reasonOf(err)).Inc()
		if s.refusals.allow(sha256.Sum256([]byte(reasonOf(err)+" "+caller.namespace+"/"+caller.pod)), time.Now()) {
			log := s.o.Log
			if caller.pod == "" { // whoever reaches the port can have that as often as they like
				log = log.V(1)
			}
			log.Info("a stream was refused", "reason", reasonOf(err), "namespace", caller.namespace, "pod", caller.pod)
		}
		return err
	}
	log := s.o.Log.WithValues("namespace", id.pod.Namespace, "pod", id.pod.Name)
	l := newLine(grpcStream, s, id)
	hello, err := l.hello(ctx)
	if err != nil {
		return err
	}
	stream, err := s.hub.join(id)
	if err != nil {
		s.metrics.refused.WithLabelValues(reasonOf(err)).Inc()
		return err
	}
	recording, err := l.joinRecordings(hello)
	if err != nil {
		s.metrics.refused.WithLabelValues(reasonOf(err)).Inc()
		s.hub.leave(stream)
		return err
	}
	defer s.gate.know(ctx)()
	log.V(1).Info("a sidecar has connected", "version", clip(hello.GetVersion(), 64), "revision", hello.GetRevision())
	c := &conversation{
		s: s, log: log, caller: caller, id: id, stream: stream, desk: s.o.Approvals.Open(asker(id)), in: l.in, out: l.out,
		recording: recording, looks: l.recorder.looks,
		ledger: newLedger(min(hello.GetRevision(), maxRevision)), began: time.Now(), held: hello.GetRevision() > 0,
		seen: map[types.NamespacedName]*seen{}, told: map[types.NamespacedName]string{}, heard: map[types.NamespacedName]time.Time{},
	}
	var sending sync.WaitGroup
	sending.Go(l.sendAll)
	go l.lendAll(ctx)              // ends with the stream
	go l.recordAll(ctx, recording) // so does this
	err = c.run(ctx)
	l.finish(&sending)
	s.left(c, err)
	return err
}

// maxRevision bounds what a sidecar says that it holds: with more, revisions would
// come to an end.
const maxRevision = 1 << 62

// left notes the end of a stream.
func (s *Server) left(c *conversation, err error) {
	reason := "Closed"
	if err != nil {
		reason = reasonOf(err)
	}
	s.metrics.ended.WithLabelValues(reason).Inc()
	c.log.V(1).Info("a stream has ended", "reason", reason)
	c.desk.Close(over(reason))
	if !s.hub.leave(c.stream) && reason == ReasonReplaced {
		return // the pod's other stream speaks for it
	}
	for name := range c.seen {
		s.o.Sessions.Detach(c.who(name))
	}
	if c.recording != nil {
		go s.afterwards(c)
	}
}

// logPatience is how long it is waited for the log to have what a stream has brought at its end.
const logPatience = 10 * time.Second

// afterwards says of a stream that has ended what its Sessions recorded last, once that is in the log. Its pod may be gone for good,
// and nobody else would say it.
func (s *Server) afterwards(c *conversation) {
	for end := time.Now().Add(logPatience); ; time.Sleep(logPatience / 20) {
		whole := true
		for name, seen := range c.seen {
			if done, known := c.recording.Latest(name.String()); known {
				seen.recorded = &done
				whole = whole && done.LogIndex != nil
			}
		}
		if whole || time.Now().After(end) {
			break
		}
	}
	if s.hub.has(c.id.pod.UID) {
		return // another stream speaks for the pod
	}
	for name, seen := range c.seen {
		if seen.recorded != nil {
			d := seen.recorded
			s.o.Sessions.Recorded(c.who(name), d.URI, d.Chain.String(), d.LogIndex)
		}
	}
}

// admit finds out who calls.
func (s *Server) admit(ctx context.Context) (caller, identity, error) {
	token, r := bearer(ctx)
	if r != nil {
		return caller{}, identity{}, r
	}
	c, err := s.authenticator.authenticate(ctx, token)
	if err != nil {
		return caller{}, identity{}, err
	}
	id, err := s.identify(ctx, c, false)
	return c, id, err
}
