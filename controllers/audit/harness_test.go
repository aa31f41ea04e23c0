package audit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/audit"
	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shelf is a bucket in memory, that encrypts as the operator's does.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	keys    map[store.Session]*age.X25519Identity
	erased  map[store.Session]string // by and why
	hold    chan struct{}            // reads wait until it is closed, where there is one
	held    int                      // how many have come to wait
	broken  error
}

func newShelf() *shelf {
	return &shelf{objects: map[string][]byte{}, keys: map[store.Session]*age.X25519Identity{}, erased: map[store.Session]string{}}
}

func (s *shelf) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	s.mu.Lock()
	hold, body, broken := s.hold, s.objects[name], s.broken
	if hold != nil {
		s.held++
	}
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if broken != nil {
		return nil, broken
	}
	if body == nil {
		return nil, store.ErrNotFound
	}
	return io.NopCloser(strings.NewReader(string(body))), nil
}

func (s *shelf) List(_ context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		s.mu.Lock()
		broken := s.broken
		var found []store.Object
		for name, body := range s.objects {
			if strings.HasPrefix(name, prefix) {
				found = append(found, store.Object{Name: name, Size: int64(len(body)), Time: time.Unix(1, 0)})
			}
		}
		s.mu.Unlock()
		slices.SortFunc(found, func(a, b store.Object) int { return strings.Compare(a.Name, b.Name) })
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
		if broken != nil {
			yield(store.Object{}, broken)
		}
	}
}

func (s *shelf) Identity(_ context.Context, session store.Session) (age.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := s.keys[session]; key != nil {
		return key, nil
	}
	return nil, store.ErrErased
}

func (s *shelf) Erase(_ context.Context, session store.Session, by, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[session] == nil {
		return store.ErrErased
	}
	delete(s.keys, session)
	s.erased[session] = by + ": " + reason
	return nil
}

// put stores a session of one segment, encrypted, with its entry in the index and its key, and returns the segment as it was sealed.
func (s *shelf) put(t *testing.T, session store.Session, began time.Time) (sealed []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	sealer, err := recording.NewSealer(key)
	must(t, err)
	encoder, buffer := recording.Begin(nil)
	header := len(buffer)
	buffer, err = encoder.Event(buffer, &access.Event{Kind: access.EventOpened, Time: began, Opened: &access.Opened{Session: session.ID}})
	must(t, err)
	segment, err := sealer.Seal(recording.Head{Session: session.ID, DataSource: "data/orders", Segment: 1, Sealed: began}, buffer[header:])
	must(t, err)
	id, err := age.GenerateX25519Identity()
	must(t, err)
	encrypted, err := recording.Encrypt(segment, id.Recipient())
	must(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[session] = id
	s.objects[session.Segment(1)] = encrypted.Append(nil)
	s.objects[session.Key()] = []byte(id.String())
	s.objects[session.Entry(began)] = fmt.Appendf(nil, `{"session":%q}`, session.ID)
	return segment.Append(nil)
}

// place is a server for auditors on a real API server.
type place struct {
	t        *testing.T
	kube     *kubetest.Server
	shelf    *shelf
	log      *lines
	metrics  *prometheus.Registry
	url      string
	roots    *x509.CertPool
	bundle   string
	stop     context.CancelFunc
	ended    chan error
	client   *http.Client
	server   *audit.Server
	listener net.Listener
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) add(_, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(args + "\n")
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const serverName = "tidewaiter-operator.tidewaiter-system.svc"

func newPlace(t *testing.T, changes ...func(*audit.Options)) *place {
	t.Helper()
	p := &place{t: t, kube: kubetest.Shared(t), shelf: newShelf(), log: &lines{}, metrics: prometheus.NewRegistry(), ended: make(chan error, 1)}
	p.kube.Apply(t, `
{apiVersion: v1, kind: Namespace, metadata: {name: tidewaiter-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: lab}}`)
	p.kube.Kubectl(t, "apply", "--server-side", "-k", "../../config/rbac")
	clientset, err := kubernetes.NewForConfig(p.operator())
	must(t, err)
	ca, err := authority.New(time.Now())
	must(t, err)
	leaf, err := ca.Serving([]string{serverName}, time.Now())
	must(t, err)
	p.roots, p.bundle = ca.Pool(), string(ca.TrustBundle())
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p.url = "https://" + p.listener.Addr().String()
	o := audit.Options{
		Source: p.shelf, Eraser: p.shelf, Tokens: clientset.AuthenticationV1().TokenReviews(), Access: clientset.AuthorizationV1().SubjectAccessReviews(),
		TLS:      &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*leaf.TLS()}},
		Listener: p.listener, Log: funcr.New(p.log.add, funcr.Options{}), Registerer: p.metrics,
	}
	for _, change := range changes {
		change(&o)
	}
	p.server, err = audit.New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	go func() { p.ended <- p.server.Start(ctx) }()
	p.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: p.roots, ServerName: serverName, MinVersion: tls.VersionTLS13},
	}}
	t.Cleanup(func() {
		cancel()
		p.client.CloseIdleConnections()
		if err := <-p.ended; err != nil {
			t.Error(err)
		}
		p.ended <- nil
	})
	return p
}

// operator is its own account: what config/rbac does not grant is refused.
func (p *place) operator() *rest.Config {
	p.t.Helper()
	config := p.kube.User(p.t, "system:serviceaccount:tidewaiter-system:tidewaiter-operator", "system:serviceaccounts", "system:authenticated")
	config.QPS, config.Burst = 100, 200
	return config
}

// token is one of a service account, which is made if it is not there.
func (p *place) token(namespace, account string, audiences ...string) string {
	p.t.Helper()
	p.kube.Apply(p.t, fmt.Sprintf("{apiVersion: v1, kind: ServiceAccount, metadata: {name: %s, namespace: %s}}", account, namespace), "--server-side", "--field-manager=test")
	token, err := p.kube.UnboundToken(p.t.Context(), namespace, account, audiences...)
	must(p.t, err)
	return token
}

// bind gives an account a ClusterRole in a namespace; in all where it is empty.
func (p *place) bind(role, namespace, account string) {
	p.t.Helper()
	kind, where := "ClusterRoleBinding", ""
	if namespace != "" {
		kind, where = "RoleBinding", ", namespace: "+namespace
	}
	in, name, _ := strings.Cut(account, "/")
	p.kube.Apply(p.t, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: %s
metadata: {name: %s-%s%s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %s}
subjects: [{kind: ServiceAccount, name: %s, namespace: %s}]`, kind, role, name, where, role, name, in))
}

// answered is an answer to a request.
type answered struct {
	status int
	body   []byte
	header http.Header
	wire.Refusal
}

func (p *place) get(token, path string, query ...string) answered {
	p.t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Add(query[i], query[i+1])
	}
	return p.do(http.MethodGet, token, path+"?"+values.Encode(), nil)
}

func (p *place) do(method, token, target string, body io.Reader) answered {
	p.t.Helper()
	a, err := p.try(method, token, target, body)
	must(p.t, err)
	return a
}

func (p *place) try(method, token, target string, body io.Reader) (a answered, err error) {
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+target, body)
	if err != nil {
		return a, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return a, err
	}
	if a.status != http.StatusOK {
		err = json.Unmarshal(a.body, &a.Refusal)
	}
	return a, err
}

// names are those of a list, and its last line.
func (a answered) names(t *testing.T) (names []string, last wire.Line) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for line := range strings.Lines(string(a.body)) {
		var l wire.Line
		must(t, json.Unmarshal([]byte(line), &l))
		if l.Name != "" {
			names = append(names, l.Name)
		}
		last = l
	}
	return names, last
}

// eventually asks again until the answers of the API server that the server remembers are over.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var last error
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	}); err != nil {
		t.Fatalf("%s: %v", what, errors.Join(last, err))
	}
}
