package reader

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// What an installation has for readers.
const (
	// DefaultNamespace is that of the operator.
	DefaultNamespace = "tidewaiter-system"
	// DefaultAccount may read the recordings of every namespace.
	DefaultAccount = "tidewaiter-auditor"
	// DefaultEraser may erase in every namespace.
	DefaultEraser = "tidewaiter-eraser"

	serviceName = "tidewaiter-operator"
	caConfigMap = "tidewaiter-ca"
	caKey       = "ca.crt"
)

// Options say how the operator is reached, and as whom.
type Options struct {
	// Config reaches the API server as the caller. Its credential goes nowhere else.
	Config *rest.Config

	// Namespace of the operator: DefaultNamespace.
	Namespace string
	// As is the service account to read as, namespace/name: DefaultAccount in the operator's namespace. The caller needs create on
	// serviceaccounts/token for it.
	As string
	// AsFlag is the flag by which people choose As, which errors name: --as-reader.
	AsFlag string
	// URL of the operator's server for auditors, https://host:port; left out, it is reached through the API server.
	URL string
	// Within confines lists to a namespace, for service accounts that may read there alone; left out, lists are of all.
	Within string
}

// Open returns the operator's recordings as a Source, and what ends the way there. The Source is a store.Stored as well, and its
// Identity is nil for every session that is not erased: the operator decrypts. It is safe for concurrent use.
func Open(ctx context.Context, o Options) (store.Source, func() error, error) {
	r, err := New(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return r, r.Close, nil
}

// Reader is the operator's recordings.
type Reader struct {
	o      Options
	base   *url.URL
	tokens *tokens
	client *http.Client
	way    *forwarder // nil with a URL
}

// New asks for a token and for the operator's certificates. It reaches the operator with the first request.
func New(ctx context.Context, o Options) (*Reader, error) {
	if o.Config == nil {
		return nil, errors.New("reader: Config is required")
	}
	o.Namespace = cmp.Or(o.Namespace, DefaultNamespace)
	o.As = cmp.Or(o.As, o.Namespace+"/"+DefaultAccount)
	o.AsFlag = cmp.Or(o.AsFlag, "--as-reader")
	namespace, account, ok := strings.Cut(o.As, "/")
	if !ok || namespace == "" || account == "" || strings.Contains(account, "/") {
		return nil, fmt.Errorf("%s %s: write it as namespace/name of a service account", o.AsFlag, o.As)
	}
	base, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("no client for %s: %w: check --kubeconfig and --context", o.Config.Host, err)
	}
	r := &Reader{o: o, base: base, tokens: &tokens{kube: kube, namespace: namespace, account: account, flag: o.AsFlag, now: time.Now}}
	if _, err := r.tokens.get(ctx); err != nil {
		return nil, err
	}
	roots, err := authority(ctx, kube, o.Namespace)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: serviceName + "." + o.Namespace + ".svc", MinVersion: tls.VersionTLS13},
		MaxConnsPerHost: maxOpen, MaxIdleConnsPerHost: maxOpen, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute,
	}
	if o.URL == "" {
		r.way = newForwarder(kube, o.Config, o.Namespace)
		transport.Proxy, transport.DialContext = nil, r.way.dial
	}
	r.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return r, nil
}

// maxOpen is how many requests are open at the same time: as many as the operator answers of one user.
const maxOpen = 4

// parseURL reads --recordings-url. Without one the host is only a name: the forwarder dials.
func parseURL(s string) (*url.URL, error) {
	if s == "" {
		return &url.URL{Scheme: "https", Host: serviceName}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--recordings-url %q: write it as https://host:port", s)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// authority reads the certificates that the operator is verified by. They come from its own namespace: in others, whoever owns the
// namespace can write them.
func authority(ctx context.Context, kube kubernetes.Interface, namespace string) (*x509.CertPool, error) {
	found, err := kube.CoreV1().ConfigMaps(namespace).Get(ctx, caConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no ConfigMap %s/%s, by which the operator is verified: it runs elsewhere (--operator-namespace), or has not begun yet", namespace, caConfigMap)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("you may not read ConfigMap %s/%s, by which the operator is verified: ask for a RoleBinding in namespace %s to Role tidewaiter-recordings-access: %w",
			namespace, caConfigMap, namespace, err)
	case err != nil:
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, caConfigMap, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(found.Data[caKey])) {
		return nil, fmt.Errorf("ConfigMap %s/%s has no certificate under %s", namespace, caConfigMap, caKey)
	}
	return roots, nil
}

// Close ends the way to the operator.
func (r *Reader) Close() error {
	r.client.CloseIdleConnections()
	if r.way != nil {
		r.way.close()
	}
	return nil
}
