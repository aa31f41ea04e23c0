package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clients "k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/injection"
)

func contextWithPatience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*patience)
}

// patch is a merge patch of a running pod.
func (c *cluster) patch(t testing.TB, pod *corev1.Pod, patch string, subresource ...string) error {
	t.Helper()
	if len(subresource) > 0 {
		return c.client.SubResource(subresource[0]).Patch(t.Context(), pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
	}
	return c.client.Patch(t.Context(), pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
}

func TestWhatInjectionWroteStaysOnARunningPod(t *testing.T) {
	c := kubernetes(t)
	pod := c.create(t, plain("shop", "data/orders"))
	more := strings.Replace(pod.Annotations[injection.StatusAnnotation], "data/orders", "data/payroll", 1)
	quoted, err := json.Marshal(more)
	if err != nil {
		t.Fatal(err)
	}
	other := plain("shop", "")
	other.Annotations = nil
	c.create(t, other)
	const fixed, image = "cannot change on a running pod; change them in the template", "the image of container tidewaiter-proxy cannot change"
	for name, tc := range map[string]struct {
		pod         *corev1.Pod
		patch, says string
	}{
		"more data sources":    {pod, `{"metadata":{"annotations":{"tidewaiter.dev/status":` + string(quoted) + `}}}`, fixed},
		"another request":      {pod, `{"metadata":{"annotations":{"tidewaiter.dev/inject":"data/payroll"}}}`, fixed},
		"an annotation gone":   {pod, `{"metadata":{"annotations":{"tidewaiter.dev/inject":null}}}`, fixed},
		"the label gone":       {pod, `{"metadata":{"labels":{"tidewaiter.dev/injected":null}}}`, fixed},
		"the label changed":    {pod, `{"metadata":{"labels":{"tidewaiter.dev/injected":"no"}}}`, fixed},
		"a new annotation":     {pod, `{"metadata":{"annotations":{"tidewaiter.dev/sidecar":"Container"}}}`, fixed},
		"the proxy's image":    {pod, `{"spec":{"initContainers":[{"name":"tidewaiter-proxy","image":"evil:1"}]}}`, image},
		"a late claim":         {other, `{"metadata":{"labels":{"tidewaiter.dev/injected":"true"}}}`, fixed},
		"a late request":       {other, `{"metadata":{"annotations":{"tidewaiter.dev/inject":"data/orders"}}}`, fixed},
		"other things":         {pod, `{"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}},"spec":{"containers":[{"name":"web","image":"web:2"}]}}`, ""},
		"things of other pods": {other, `{"metadata":{"labels":{"a":"b"}}}`, ""},
	} {
		err := c.patch(t, tc.pod, tc.patch)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
	if err := c.patch(t, pod, `{"status":{"phase":"Running"}}`, "status"); err != nil {
		t.Errorf("a kubelet's status: %v", err)
	}
}

// Whatever becomes of the namespace, its pods can be finished and deleted.
func TestNothingKeepsAPodFromEnding(t *testing.T) {
	c := kubernetes(t)
	namespace := c.NewNamespace(t, map[string]string{injection.NamespaceLabel: injection.NamespaceEnabled})
	pod := plain(namespace, "data/ledger")
	pod.Finalizers = []string{"example.com/later"}
	if err := eventually(func() error { return c.client.Create(t.Context(), pod.DeepCopy(), client.DryRunAll) }); err != nil {
		t.Fatal(err) // the operator hears of a new namespace a moment later
	}
	c.create(t, pod)
	c.Kubectl(t, "label", "namespace", namespace, injection.NamespaceLabel+"-")
	c.withoutWebhook(t)
	if err := c.client.Delete(t.Context(), pod.DeepCopy(), client.GracePeriodSeconds(0)); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if err := c.patch(t, pod, `{"metadata":{"finalizers":null}}`); err != nil {
		t.Errorf("removing a finalizer: %v", err)
	}
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}); err == nil {
		t.Error("the pod is still there")
	}
}

func TestNobodyEntersTheProxysContainer(t *testing.T) {
	c := kubernetes(t)
	pod := c.create(t, plain("shop", "data/orders"))
	set, err := clients.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ verb, container, says string }{
		{"exec", injection.ContainerName, "nobody may enter it"},
		{"attach", injection.ContainerName, "nobody may enter it"},
		{"exec", "web", "does not have a host assigned"}, // there is no node here; the question is whether it comes that far
	} {
		request := set.CoreV1().RESTClient().Post().Namespace("shop").Resource("pods").Name(pod.Name).SubResource(tc.verb).
			Param("container", tc.container).Param("command", "id").Param("stdout", "true")
		if err := request.Do(t.Context()).Error(); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s %s: %v, want %s", tc.verb, tc.container, err, tc.says)
		}
	}
}

func TestAnInjectedPodGetsNoDebugContainer(t *testing.T) {
	c := kubernetes(t)
	pod := c.create(t, plain("shop", "data/orders"))
	other := plain("shop", "")
	other.Annotations = nil
	c.create(t, other)
	const debug = `{"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox","targetContainerName":"web"}]}}`
	dry := client.RawPatch(types.StrategicMergePatchType, []byte(debug))
	if err := eventually(func() error { // an API server takes a moment to put a policy in force
		err := c.client.SubResource("ephemeralcontainers").Patch(t.Context(), pod.DeepCopy(), dry, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "kubectl debug --copy-to") {
			return fmt.Errorf("not refused by the policy: %w", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.patch(t, pod, debug, "ephemeralcontainers"); err == nil {
		t.Error("there is a debug container")
	}
	if err := c.patch(t, other, debug, "ephemeralcontainers"); err != nil {
		t.Errorf("another pod: %v", err)
	}
}
