package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/tidewaiter/tidewaiter/operator"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Calls to the API server that one replica makes: those of a cluster full of sidecars that connect anew.
const (
	callsPerSecond = 100
	burstOfCalls   = 200
)

func newRun(errOut io.Writer) *cobra.Command {
	var (
		o                    operator.Options
		kubeconfig, logLevel string
		recordingsLimit      string
		recordingsLock       string
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the operator until SIGTERM",
		Example: `  tidewaiter-operator run --proxy-image ghcr.io/tidewaiter/tidewaiter-proxy:v0.1.0

  # keep what sidecars record, and refuse pods that bring a credential of their own
  tidewaiter-operator run --proxy-image ghcr.io/tidewaiter/tidewaiter-proxy:v0.1.0 --recordings /var/lib/tidewaiter/recordings --strict`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Log, err = newLog(errOut, logLevel); err != nil {
				return err
			}
			if o.RecordingsLimit, err = parseLimit(recordingsLimit); err != nil {
				return err
			}
			o.RecordingsLock = store.Lock(recordingsLock)
			if o.Config, err = clientConfig(kubeconfig); err != nil {
				return err
			}
			klog.SetLogger(o.Log.WithName("client"))
			return operator.Run(cmd.Context(), o)
		},
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.StringVar(&o.ProxyImage, "proxy-image", "", "image of the proxy that is put into pods, and given credentials")
	f.StringArrayVar(&o.OlderProxyImages, "older-proxy-image", nil, "image that pods from before an upgrade run, and that is given credentials until they are replaced; may be repeated")
	f.StringVar(&o.Recordings, "recordings", "", "where what sidecars record is kept: a folder, or a bucket such as s3://name?region=eu-central-1, gs://name, azblob://name; left out, sidecars keep it")
	f.StringVar(&recordingsLimit, "recordings-limit", "", "size of the recordings that are taken, less than a folder's volume has; a pod may have an eighth of it (default 8Gi in a folder, any in a bucket)")
	f.StringVar(&recordingsLock, "recordings-lock", string(store.LockNone), "how a bucket with S3 Object Lock keeps recordings until their retention has ended: Compliance (nobody can delete them), Governance (who has the permission can), or None")
	f.DurationVar(&o.RecordingsRetention, "recordings-retention", 2160*time.Hour, "how long recordings are kept after their session has ended, where the DataSource does not say; 0 is for ever, which a lock takes as 100 years")
	f.StringVar(&o.RecordingsKey, "recordings-key", "", "key that the keys of recordings are wrapped by: awskms://…, gcpkms://… or azurekeyvault://…; left out, one in the Secret "+operator.RecordingsKeySecret)
	f.StringVar(&o.Notify, "notify", "", "YAML file that says whom to tell of AccessRequests, see docs/notifications.md; left out, nobody")
	f.BoolVar(&o.Strict, "strict", false, "refuse pods that have a credential of their own for what they ask to be injected for")
	f.StringVar(&o.Namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), operator.Namespace), "namespace of the operator")
	f.StringVar(&o.Replica, "replica", os.Getenv("POD_NAME"), "name of this replica's pod")
	addressFlags(f, &o)
	f.StringArrayVar(&o.Names, "name", nil, "host name or IP address that clients know the servers by, beside the Services' names; may be repeated")
	f.StringVar(&o.OperatorAddress, "operator-address", "", "host:port that injected proxies connect to; left out, the Service's")
	f.DurationVar(&o.SidecarLease, "sidecar-lease", time.Minute, "how long sidecars serve new connections without word from the operator, 3s to 10m")
	f.DurationVar(&o.RequestsKept, "requests-kept", time.Hour, "how long AccessRequests that are over stay for people to read, 1m to 720h")
	f.BoolVar(&o.OneReplica, "one-replica", false, "do not agree with other replicas on a leader")
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file; left out, the service account of the pod, or $KUBECONFIG")
	f.StringVar(&logLevel, "log-level", "info", "info or debug")
	return cmd
}

// addressFlags are where the operator serves.
func addressFlags(f *pflag.FlagSet, o *operator.Options) {
	f.StringVar(&o.Sidecars, "sidecars-address", ":8443", "host:port to serve sidecars at")
	f.StringVar(&o.Webhook, "webhook-address", ":9443", "host:port to serve admission at")
	f.StringVar(&o.Auditors, "recordings-address", ":8445", "host:port to serve recordings at, to who may read them; without --recordings nothing is served")
	f.StringVar(&o.Health, "health-address", ":8081", "host:port to serve /healthz and /readyz at; 0 serves none")
	f.StringVar(&o.Metrics, "metrics-address", ":8080", "host:port to serve /metrics at; 0 serves none")
}

// parseLimit reads --recordings-limit; 0, it was left out.
func parseLimit(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	limit, err := resource.ParseQuantity(text)
	if err != nil || limit.Value() <= 0 {
		return 0, fmt.Errorf("--recordings-limit %q: write it as a size, such as 8Gi", text)
	}
	return limit.Value(), nil
}

// newLog returns a log of JSON lines.
func newLog(w io.Writer, level string) (logr.Logger, error) {
	at := zapcore.InfoLevel
	switch level {
	case "info":
	case "debug":
		at = zapcore.DebugLevel
	default:
		return logr.Logger{}, fmt.Errorf("--log-level %q is neither info nor debug", level)
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime, encoding.TimeKey = zapcore.RFC3339NanoTimeEncoder, "time"
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	return zapr.NewLogger(zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.AddSync(w), at))), nil
}

func clientConfig(file string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no API server to talk to: %w: set --kubeconfig", err)
	}
	config.QPS, config.Burst = callsPerSecond, burstOfCalls
	config.UserAgent = "tidewaiter-operator/" + built()
	return config, nil
}
