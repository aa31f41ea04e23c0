package admission

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/injection"
)

var shop = map[string]string{injection.NamespaceLabel: injection.NamespaceEnabled, "team": "shop"}

func TestAPodThatAsksIsInjectedAndStaysBelieved(t *testing.T) {
	c := kubernetes(t)
	pod := c.create(t, plain("shop", "data/orders,data/ledger"))
	settings := testSettings()
	status, err := injection.Verify(pod, shop, &settings.Settings)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(status.DataSources, []string{"data/ledger", "data/orders"}) || pod.Spec.InitContainers[0].Name != injection.ContainerName {
		t.Errorf("status %+v, init containers %v", status, pod.Spec.InitContainers)
	}
	var mounts []string
	for _, m := range pod.Spec.InitContainers[0].VolumeMounts {
		mounts = append(mounts, m.MountPath)
	}
	if !slices.Contains(mounts, "/var/run/secrets/kubernetes.io/serviceaccount") {
		t.Errorf("the API server's plugins did not run again after the patch, so that this test shows nothing of them: %q", mounts)
	}
	// What kubectl get -o yaml shows can be created again.
	again := pod.DeepCopy()
	again.ObjectMeta = metav1.ObjectMeta{Namespace: "shop", GenerateName: "copy-", Labels: pod.Labels, Annotations: pod.Annotations}
	if copied := c.create(t, again); len(copied.Spec.InitContainers) != 1 {
		t.Errorf("a copy has init containers %v", copied.Spec.InitContainers)
	}
}

func TestTheAPIServerDecidesOnTheGoldenPodsAsTheFilesSay(t *testing.T) {
	c := kubernetes(t)
	files, err := filepath.Glob("../inject/testdata/*.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			Labels           map[string]string
			Strict, NoNative bool
			Pod              corev1.Pod
		}
		if err := yaml.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".in.yaml")
		if len(s.Labels) > 0 || s.Strict || s.NoNative || name == "unusable-sources" || name == "unknown-fields" {
			continue // another namespace, operator or API server than this one
		}
		asked++
		t.Run(name, func(t *testing.T) { c.asTheFilesSay(t, "../inject/testdata/"+name, &s.Pod) })
	}
	if asked < 40 {
		t.Errorf("only %d pods were asked about", asked)
	}
}

// asTheFilesSay creates a pod as a dry run and compares the outcome with the golden file.
func (c *cluster) asTheFilesSay(t *testing.T, base string, pod *corev1.Pod) {
	if account := pod.Spec.ServiceAccountName; account != "" {
		err := c.client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: account}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	err := c.client.Create(t.Context(), pod, client.DryRunAll)
	if message, denied := os.ReadFile(base + ".denied.txt"); denied == nil {
		want := `admission webhook "inject.tidewaiter.dev" denied the request: ` + strings.TrimSpace(string(message))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	settings := testSettings()
	_, asks := pod.Annotations[injection.Annotation]
	if _, err := injection.Verify(pod, shop, &settings.Settings); (err == nil) != asks {
		t.Errorf("%v", err)
	}
}

// What the API server makes of a pod with injection holds all that it makes of it without.
func TestEveryFieldOfAPodComesThrough(t *testing.T) {
	c := kubernetes(t)
	free := c.NewNamespace(t, nil)
	raw, err := os.ReadFile("testdata/every-field.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var with, without corev1.Pod
	if err := yaml.UnmarshalStrict(raw, &with); err != nil {
		t.Fatal(err)
	}
	with.Namespace = "shop"
	without = *with.DeepCopy()
	without.Namespace = free
	without.Annotations = nil
	for _, pod := range []*corev1.Pod{&with, &without} {
		if err := c.client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
	}
	if with.Spec.InitContainers[0].Name != injection.ContainerName {
		t.Fatal("the pod was not injected")
	}
	with.Spec.InitContainers = with.Spec.InitContainers[1:]
	with.Spec.Volumes = slices.DeleteFunc(with.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == injection.IdentityVolume || v.Name == injection.SpoolVolume
	})
	for i := range with.Spec.Containers {
		with.Spec.Containers[i].Env = with.Spec.Containers[i].Env[2:] // DATABASE_URL and PGHOST
	}
	for i := range with.Spec.InitContainers {
		with.Spec.InitContainers[i].Env = with.Spec.InitContainers[i].Env[2:]
	}
	if got, want := specText(t, &with), specText(t, &without); got != want {
		t.Errorf("with injection:\n%s\nwithout:\n%s", got, want)
	}
}

// specText is a pod's spec with the random name of its token's volume taken out.
func specText(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	text, err := json.MarshalIndent(pod.Spec, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out := string(text)
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, "kube-api-access-") {
			out = strings.ReplaceAll(out, v.Name, "kube-api-access")
		}
	}
	return out
}

func TestWithoutTheWebhookPodsThatAskAreRefusedAndOthersAreNot(t *testing.T) {
	c := kubernetes(t)
	other := plain("shop", "")
	other.Annotations = map[string]string{"example.com/x": "y"}
	c.create(t, other)

	// A namespace that is not opted in is not the webhook's; the policy refuses there.
	elsewhere := c.NewNamespace(t, nil)
	err := c.client.Create(t.Context(), plain(elsewhere, "data/orders"))
	if err == nil || !strings.Contains(err.Error(), "is not opted in; label it tidewaiter.dev/injection=enabled") {
		t.Errorf("%v", err)
	}
}
