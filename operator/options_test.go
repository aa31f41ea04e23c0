package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/injection"
)

func sensible() Options {
	return Options{Config: &rest.Config{}, ProxyImage: "proxy:v2", Registerer: prometheus.NewRegistry()}
}

func TestOptionsThatCannotWorkAreRefusedByTheirFlag(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"--sidecar-lease 1s: give it a time from 3s to 10m":  func(o *Options) { o.SidecarLease = time.Second },
		"--sidecar-lease -1s: give it a time from 3s to 10m": func(o *Options) { o.SidecarLease = -time.Second },
		"--sidecar-lease 1h0m0s: give it a time from 3s":     func(o *Options) { o.SidecarLease = time.Hour },
		"--recordings-limit: 9 bytes are too few":            func(o *Options) { o.RecordingsLimit = 9 },
		"--recordings-retention 1m0s: give it a time":        func(o *Options) { o.RecordingsRetention = time.Minute },
		"--recordings-retention -1h0m0s: give it a time":     func(o *Options) { o.RecordingsRetention = -time.Hour },
		"set --proxy-image": func(o *Options) { o.ProxyImage = "" },
	} {
		o := sensible()
		change(&o)
		if err := o.defaults(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	o := sensible()
	if err := o.defaults(); err != nil {
		t.Error(err)
	}
}

// Without, an upgrade cuts off every pod that there is.
func TestPodsFromBeforeAnUpgradeAreBelievedWhileTheirImageIsNamed(t *testing.T) {
	older, o := sensible(), sensible()
	older.ProxyImage = "proxy:v1"
	for _, options := range []*Options{&older, &o} {
		if err := options.defaults(); err != nil {
			t.Fatal(err)
		}
	}
	before := settings(&older)
	pod, labels := injectedBy(t, &before)
	now := settings(&o)
	if _, err := injection.Verify(pod, labels, &now); injection.ReasonOf(err) != injection.ReasonWrongImage {
		t.Errorf("an image that nobody has named: %v", err)
	}
	o.OlderProxyImages = []string{"proxy:v0", "proxy:v1"}
	now = settings(&o)
	if _, err := injection.Verify(pod, labels, &now); err != nil {
		t.Error(err)
	}
	if now.Image != "proxy:v2" || slices.Contains(now.OlderImages, now.Image) {
		t.Errorf("new pods get %s", now.Image)
	}
}

// injectedBy is a pod as an operator with the settings makes it.
func injectedBy(t *testing.T, s *injection.Settings) (*corev1.Pod, map[string]string) {
	t.Helper()
	status := injection.Status{
		Version: injection.StatusVersion, DataSources: []string{"data/orders"}, Sidecar: injection.ModeNative, HealthPort: 16021,
		LogLevel: injection.LogInfo, SpoolSize: "1Gi",
	}
	text, err := status.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	pod.Labels, pod.Annotations = map[string]string{injection.InjectedLabel: injection.Injected}, map[string]string{injection.StatusAnnotation: text}
	pod.Spec.InitContainers = []corev1.Container{injection.Container(s, &status)}
	if pod.Spec.Volumes, err = injection.Volumes(&status); err != nil {
		t.Fatal(err)
	}
	return pod, map[string]string{injection.NamespaceLabel: injection.NamespaceEnabled}
}
