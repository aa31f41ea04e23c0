package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
)

// Bounds of connections.
const (
	maxConnections = 256
	maxHeader      = maxToken + 8<<10 // bytes
	headerTimeout  = 5 * time.Second  // with the handshake
	idleTimeout    = time.Minute
	stopPatience   = 10 * time.Second // for requests that are being answered when the server stops
	maxDecrypted   = 4                // segments at the same time, each some 40 MiB of memory at worst
)

// Server serves auditors. It is a manager.Runnable that every replica runs.
type Server struct {
	o          Options
	callers    *callers
	rights     *rights
	crowd      *crowd
	metrics    *metrics
	decrypting chan struct{}
	ready      atomic.Bool
	stopping   atomic.Bool
}

// New returns a Server that serves nobody before Start.
func New(o Options) (*Server, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	return &Server{
		o: o, callers: newCallers(o.Tokens, o.Now), rights: newRights(o.Access, o.Now, o.Log), crowd: newCrowd(o.PerUser, o.All),
		metrics: newMetrics(o.Registerer), decrypting: make(chan struct{}, maxDecrypted),
	}, nil
}

// NeedLeaderElection is false: any replica serves auditors.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready is a healthz.Checker: no error while auditors are served.
func (s *Server) Ready(*http.Request) error {
	if !s.ready.Load() {
		return errors.New("the server for auditors is not serving")
	}
	return nil
}

// Start serves until ctx ends. Requests that are being answered then have some seconds to end.
func (s *Server) Start(ctx context.Context) error {
	listener := s.o.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", s.o.Listen); err != nil {
			return err
		}
	}
	server := s.http()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		s.ready.Store(false)
		s.stopping.Store(true)
		patience, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		if server.Shutdown(patience) != nil {
			_ = server.Close() // who is still there has had their time
		}
	}()
	s.ready.Store(true)
	s.o.Log.Info("serving auditors", "address", listener.Addr().String())
	secured := tls.NewListener(netutil.LimitListener(listener, maxConnections), server.TLSConfig)
	err := server.Serve(secured)
	if ctx.Err() == nil {
		return err
	}
	<-stopped
	return nil
}

// http is the server. HTTP/1.1 is enough for it, and one connection is then one request, which the bounds count on.
func (s *Server) http() *http.Server {
	config := s.o.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	return &http.Server{
		Handler: s.handler(), TLSConfig: config, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, WriteTimeout: s.o.Patience + headerTimeout, IdleTimeout: idleTimeout,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     log.New(quiet{s.o.Log}, "", 0),
	}
}

// quiet takes what net/http complains of, such as of handshakes: whoever reaches the port can cause that as often as they like.
type quiet struct{ log logr.Logger }

// Write logs a line for who looks closely.
func (q quiet) Write(line []byte) (int, error) {
	q.log.V(1).Info("http", "says", string(line))
	return len(line), nil
}

// handler is what the server answers with.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(wire.PathObject, s.of(http.MethodGet, s.object))
	mux.Handle(wire.PathList, s.of(http.MethodGet, s.list))
	mux.Handle(wire.PathKey, s.of(http.MethodGet, s.key))
	mux.Handle(wire.PathErase, s.of(http.MethodPost, s.erase))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		write(w, refuse(http.StatusNotFound, wire.ReasonNotFound, "there are /v1/object, /v1/list, /v1/key and /v1/erase"))
	})
	return mux
}

// of answers one sort of requests: it finds out who calls, keeps the bounds, and counts and logs what became of it.
func (s *Server) of(method string, answer func(*exchange) *wire.Refusal) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.o.Patience)
		defer cancel()
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		x := &exchange{w: w, r: r.WithContext(ctx), kind: "None", began: time.Now()}
		defer s.done(x)
		x.refusal = s.admit(x, method, answer)
		if x.refusal != nil && !x.begun {
			write(w, x.refusal)
		} else if x.refusal != nil {
			panic(http.ErrAbortHandler) // so that what was sent does not look whole
		}
	})
}

func (s *Server) admit(x *exchange, method string, answer func(*exchange) *wire.Refusal) *wire.Refusal {
	if s.stopping.Load() {
		return refuse(http.StatusServiceUnavailable, wire.ReasonStopping, "this replica of the operator stops: try again")
	}
	if x.r.Method != method {
		x.w.Header().Set("Allow", method)
		return refuse(http.StatusMethodNotAllowed, wire.ReasonMethod, "use "+method)
	}
	var refusal *wire.Refusal
	if x.user, refusal = s.callers.identify(x.r); refusal != nil {
		return refusal
	}
	leave, refusal := s.crowd.enter(x.user.Username)
	if refusal != nil {
		return refusal
	}
	defer leave()
	return answer(x)
}

// exchange is a request with its answer.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	began   time.Time
	user    *user // nil until it is known
	kind    string
	about   []any // what the log's line says of it
	begun   bool  // the answer has begun
	sent    int64 // bytes
	refusal *wire.Refusal
}

// Write sends a part of the answer.
func (x *exchange) Write(p []byte) (int, error) {
	x.begun = true
	n, err := x.w.Write(p)
	x.sent += int64(n)
	return n, err
}

// done counts the request, and logs it unless nobody was let in.
func (s *Server) done(x *exchange) {
	result := "OK"
	if x.refusal != nil {
		result = x.refusal.Reason
	}
	s.metrics.requests.WithLabelValues(x.kind, result).Inc()
	s.metrics.bytes.Add(float64(x.sent))
	log := s.o.Log
	if x.user == nil || result == wire.ReasonForbidden || result == wire.ReasonBadRequest || result == wire.ReasonTooMany || result == wire.ReasonMethod {
		log = log.V(1) // which anybody can have as often as they like; what was forbidden is logged once where it was asked
	}
	about := append([]any{"what", x.kind, "result", result, "bytes", x.sent, "took", time.Since(x.began)}, x.about...)
	if x.user != nil {
		about = append(about, "user", x.user.Username, "credential", x.user.credential())
	}
	log.Info("a request for recordings", about...)
}
