package admission

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clients "k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

// cluster is a real API server with our configurations and policies, asking a webhook in this process.
type cluster struct {
	*kubetest.Server
	client client.Client
	took   *durations

	records *Records // of approvals
	decided *durations
}

const patience = 60 * time.Second

var (
	startCluster = sync.OnceValues(newCluster)
	stopCluster  = func() error { return nil }
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := stopCluster(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// kubernetes returns the cluster that the tests of this package share.
func kubernetes(t testing.TB) *cluster {
	t.Helper()
	c, err := startCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCluster() (*cluster, error) {
	server, err := kubetest.Start(kubetest.Options{
		// With this plugin, the API server mounts tokens as in a cluster, and again after our patch.
		Flags:    map[string][]string{"disable-admission-plugins": nil, "profiling": {"false"}},
		Webhooks: envtest.WebhookInstallOptions{Paths: []string{"../../config/webhook/injector.yaml"}},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopCluster = func() error { cancel(); return server.Stop() }
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(server.Config)
	config.QPS = -1
	c := &cluster{Server: server, took: &durations{}, decided: &durations{}}
	if c.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if err := c.serve(ctx, config, scheme); err != nil {
		return nil, err
	}
	return c, c.prepare(ctx)
}

// serve starts the webhook, as the operator does.
func (c *cluster) serve(ctx context.Context, config *rest.Config, scheme *runtime.Scheme) error {
	objects, err := cache.New(config, cache.Options{Scheme: scheme, ReaderFailOnMissingInformer: true})
	if err != nil {
		return err
	}
	cached, err := NewCached(ctx, objects)
	if err != nil {
		return err
	}
	pods, err := NewPods(cached, testSettings(), nil)
	if err != nil {
		return err
	}
	if pods.Ready(nil) == nil {
		return errors.New("ready before anything was read")
	}
	server := webhook.NewServer(webhook.Options{
		Host: c.Webhooks.LocalServingHost, Port: c.Webhooks.LocalServingPort, CertDir: c.Webhooks.LocalServingCertDir,
	})
	server.Register(PodPath, c.took.measure(&webhook.Admission{Handler: pods}))
	if err := c.serveApprovals(ctx, objects, server); err != nil {
		return err
	}
	server.Register(laterPath, &webhook.Admission{Handler: admission.HandlerFunc(later)})
	go func() { _ = objects.Start(ctx) }()
	go func() { _ = server.Start(ctx) }()
	return eventually(func() error { return errors.Join(pods.Ready(nil), server.StartedChecker()(&http.Request{})) })
}

// prepare makes the DataSources' namespace and what is in it.
func (c *cluster) prepare(ctx context.Context) error {
	if err := c.CreateNamespace(ctx, "data", nil); err != nil {
		return err
	}
	raw, err := os.ReadFile("../inject/testdata/datasources.yaml")
	if err != nil {
		return err
	}
	var list struct{ Items []v1alpha1.DataSource }
	if err := yaml.Unmarshal(raw, &list); err != nil {
		return err
	}
	labels := map[string]string{"team": "shop", injection.NamespaceLabel: injection.NamespaceEnabled}
	if err := c.CreateNamespace(ctx, "shop", labels); err != nil {
		return err
	}
	for i := range list.Items {
		ds := &list.Items[i]
		if err := c.client.Create(ctx, ds); err != nil && ds.Name != "unreadable" && ds.Name != "future" {
			return err // those two are of an API server that is newer than we are
		}
	}
	return eventually(func() error { return c.policies(ctx) })
}

// policies applies the ValidatingAdmissionPolicies and asks until they are in force.
func (c *cluster) policies(ctx context.Context) error {
	for _, file := range []string{"injected-pods", "other-pods", "pod-updates", "debugging", "identity", "approvals"} {
		cmd := c.Command(ctx, "apply", "-f", "../../config/admission/"+file+".yaml")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	probe := plain("data", "")
	probe.GenerateName, probe.Annotations, probe.Name = "", nil, "probe"
	if err := c.client.Create(ctx, probe.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	set, err := clients.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	enter := set.CoreV1().RESTClient().Post().Namespace("data").Resource("pods").Name("probe").SubResource("exec").
		Param("container", injection.ContainerName).Param("command", "id")
	claim := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"tidewaiter.dev/injected":"true"}}}`))
	return eventually(func() error {
		_, token := c.UnboundToken(ctx, "data", "default", injection.Audience)
		for _, err := range []error{enter.Do(ctx).Error(), c.client.Patch(ctx, probe.DeepCopy(), claim, client.DryRunAll), token} {
			if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
				return fmt.Errorf("policies are not in force yet: %w", err)
			}
		}
		for _, pod := range []*corev1.Pod{plain("data", "data/orders"), {
			ObjectMeta: metav1.ObjectMeta{Namespace: "data", GenerateName: "web-", Annotations: map[string]string{injection.Domain + "x": "y"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
		}} {
			err := c.client.Create(ctx, pod, client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
				return fmt.Errorf("policies are not in force yet: %w", err)
			}
		}
		return nil
	})
}

// eventually asks until there is no error any more.
func eventually(ask func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

// plain is a pod that asks for data sources.
func plain(namespace, sources string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-", Annotations: map[string]string{injection.Annotation: sources}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}},
	}
}

// create makes a pod and deletes it after the test.
func (c *cluster) create(t testing.TB, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	if err := c.client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.client.Delete(context.Background(), pod, client.GracePeriodSeconds(0)); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	return pod
}

// durations are how long the webhook took, from the first byte of a request to the last of the answer.
type durations struct {
	mu  sync.Mutex
	all []time.Duration
}

func (d *durations) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		next.ServeHTTP(w, r)
		d.mu.Lock()
		d.all = append(d.all, time.Since(begin))
		d.mu.Unlock()
	})
}

// take returns what was measured since it was last asked.
func (d *durations) take() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.all
	d.all = nil
	return all
}
