package operator

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/tidewaiter/tidewaiter/controllers/accessrequest"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Names that manifests, chart and operator agree on.
const (
	// Namespace that the operator runs in unless Options say otherwise.
	Namespace = "tidewaiter-system"
	// ServiceForSidecars is the Service in front of the distribution server.
	ServiceForSidecars = "tidewaiter-operator"
	// ServiceForWebhook is the Service that API servers ask.
	ServiceForWebhook = "tidewaiter-webhook"
	// LeaderLease is the Lease by which replicas agree who writes status.
	LeaderLease = "tidewaiter-operator"
	// WebhookConfiguration is the MutatingWebhookConfiguration whose caBundle the operator keeps.
	WebhookConfiguration = "tidewaiter-injector"
)

// Options of an operator. The first group is required; what else is left out has a default.
type Options struct {
	// Config reaches the API server.
	Config *rest.Config
	// ProxyImage is what injection writes into pods, and with OlderProxyImages whose sidecars are given credentials.
	ProxyImage string

	// Namespace of the operator.
	Namespace string
	// Replica names this process among the replicas: its pod's name. Left out, nobody watches over it.
	Replica string
	// Sidecars and Webhook are host:port to serve at: :8443 and :9443.
	Sidecars, Webhook string
	// Auditors is host:port to serve recordings at, to who may read them: :8445. Without Recordings nothing is served there.
	Auditors string
	// Health and Metrics are host:port to serve at, in clear text: :8081 and :8080. "0" serves none.
	Health, Metrics string
	// Names beside the Services' that clients know the two servers by: host names and IP addresses, for development.
	Names []string
	// OperatorAddress is what injected proxies are told: the Service's.
	OperatorAddress string
	// OlderProxyImages are those of pods that were injected before an upgrade and still run. They are given credentials
	// as well: without, an upgrade would cut off every pod that there is.
	OlderProxyImages []string
	// Recordings is where what sidecars record is kept: a folder, or the URL of a bucket as package store takes it; left out, it
	// is not taken, and sidecars keep it.
	Recordings string
	// RecordingsLimit is how many bytes of them are taken: 8 GiB in a folder, and any in a bucket. A pod may have an eighth of
	// it. It has to be less than a folder's volume has, or the kubelet would evict the operator for what a pod made it write.
	RecordingsLimit int64
	// RecordingsLock is how objects are locked until their retention has ended: None.
	RecordingsLock store.Lock
	// RecordingsRetention is how long sessions are kept after their end, where their DataSource does not say; 0 is for ever.
	RecordingsRetention time.Duration
	// RecordingsKey is the URL of the key that sessions' keys are wrapped by; left out, it is in the Secret
	// RecordingsKeySecret.
	RecordingsKey string
	// Notify is a file that says whom to tell of AccessRequests; left out, nobody is told. It is read at the start.
	Notify string
	// Strict refuses pods that have a credential of their own for what they are injected for.
	Strict bool
	// RequestsKept is how long an AccessRequest that is over stays for people to read: 1 h.
	RequestsKept time.Duration
	// OneReplica leaves out the election of a leader.
	OneReplica bool
	// LeaseDuration of the leader: 15 s. Renewals and retries follow from it.
	LeaseDuration time.Duration
	// SidecarLease is how long a sidecar serves new connections without word from the operator: 60 s.
	SidecarLease time.Duration
	// Registerer gets the metrics beside the libraries' own: the registry that Metrics serves.
	Registerer prometheus.Registerer
	// Now is the clock by which the certificate authority's roots and leaves come due: time.Now.
	Now func() time.Time
	// Log gets everything.
	Log logr.Logger
}

func (o *Options) defaults() error {
	if o.Config == nil || o.ProxyImage == "" {
		return errors.New("the operator needs the configuration of a client, and the image of the proxy: set --proxy-image")
	}
	if slices.Contains(o.OlderProxyImages, "") {
		return errors.New("--older-proxy-image is empty: name the image that running pods were injected with, or leave the flag out")
	}
	o.Namespace = cmp.Or(o.Namespace, Namespace)
	o.Sidecars, o.Webhook = cmp.Or(o.Sidecars, ":8443"), cmp.Or(o.Webhook, ":9443")
	o.Auditors = cmp.Or(o.Auditors, ":8445")
	o.Health, o.Metrics = cmp.Or(o.Health, ":8081"), cmp.Or(o.Metrics, ":8080")
	o.LeaseDuration = cmp.Or(o.LeaseDuration, 15*time.Second)
	o.RecordingsLock, o.SidecarLease = cmp.Or(o.RecordingsLock, store.LockNone), cmp.Or(o.SidecarLease, time.Minute)
	if o.RecordingsLimit != 0 && o.RecordingsLimit < 1<<20 {
		return fmt.Errorf("--recordings-limit: %d bytes are too few: give it at least 1Mi", o.RecordingsLimit)
	}
	if r := o.RecordingsRetention; r != 0 && (r < time.Hour || r > 876_000*time.Hour) {
		return fmt.Errorf("--recordings-retention %v: give it a time from 1h to 876000h, or 0 to keep recordings for ever", r)
	}
	if o.SidecarLease < shortestLease || o.SidecarLease > longestLease {
		return fmt.Errorf("--sidecar-lease %v: give it a time from %v to %v", o.SidecarLease, shortestLease, longestLease)
	}
	o.RequestsKept = cmp.Or(o.RequestsKept, accessrequest.DefaultKept)
	if o.RequestsKept < time.Minute || o.RequestsKept > 30*24*time.Hour {
		return fmt.Errorf("--requests-kept %v: give it a time from 1m to 720h", o.RequestsKept)
	}
	if o.Registerer == nil {
		o.Registerer = metrics.Registry
	}
	if o.OperatorAddress == "" {
		o.OperatorAddress = net.JoinHostPort(service(ServiceForSidecars, o.Namespace), portOf(injection.OperatorAddress))
	}
	if _, _, err := split(o.Webhook); err != nil {
		return fmt.Errorf("--webhook-address %q: %w", o.Webhook, err)
	}
	if _, _, err := split(o.Auditors); err != nil {
		return fmt.Errorf("--recordings-address %q: %w", o.Auditors, err)
	}
	return nil
}

// Bounds of a sidecar's lease: it is told in seconds and renewed three times, and sidecars take none that is longer.
const shortestLease, longestLease = 3 * time.Second, 10 * time.Minute

// service is the name by which the certificate of a Service is verified.
func service(name, namespace string) string { return name + "." + namespace + ".svc" }

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address) // a constant of ours
	return port
}

func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, errors.New("the port must be a number from 1 to 65535")
	}
	return host, port, nil
}
