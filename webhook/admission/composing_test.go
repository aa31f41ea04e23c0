package admission

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidewaiter/tidewaiter/injection"
)

const (
	laterPath       = "/test/later"
	laterAnnotation = "example.com/add-container"
)

// later is somebody else's webhook, which adds a container and an init container in front of all others.
func later(_ context.Context, request admission.Request) admission.Response {
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return admission.Errored(400, err)
	}
	added := func(c corev1.Container) bool { return c.Name == "added" }
	if pod.Annotations[laterAnnotation] == "" || slices.ContainsFunc(pod.Spec.Containers, added) {
		return admission.Allowed("")
	}
	pod.Spec.Containers = append([]corev1.Container{{Name: "added", Image: "added:1"}}, pod.Spec.Containers...)
	pod.Spec.InitContainers = append([]corev1.Container{{Name: "added-init", Image: "added:1"}}, pod.Spec.InitContainers...)
	raw, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(500, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, raw)
}

func TestAWebhookThatComesLaterIsComposedWith(t *testing.T) {
	c := kubernetes(t)
	var ours admissionregistrationv1.MutatingWebhookConfiguration
	if err := c.client.Get(t.Context(), client.ObjectKey{Name: "tidewaiter-injector"}, &ours); err != nil {
		t.Fatal(err)
	}
	url := "https://" + net.JoinHostPort(c.Webhooks.LocalServingHost, strconv.Itoa(c.Webhooks.LocalServingPort)) + laterPath
	theirs := ours.DeepCopy()
	theirs.ObjectMeta = metav1.ObjectMeta{Name: "zz-later"} // configurations are asked in the order of their names
	theirs.Webhooks[0].Name, theirs.Webhooks[0].ClientConfig.URL = "later.example.com", &url
	if err := c.client.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.client.Delete(context.Background(), theirs); err != nil {
			t.Error(err)
		}
	})
	var pod *corev1.Pod
	if err := eventually(func() error {
		pod = plain("shop", "data/orders")
		pod.Annotations[laterAnnotation] = "yes"
		err := c.client.Create(t.Context(), pod, client.DryRunAll)
		if err == nil && pod.Spec.Containers[0].Name != "added" {
			err = errNotRead // the API server does not know of it yet
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	settings := testSettings()
	if _, err := injection.Verify(pod, shop, &settings.Settings); err != nil {
		t.Error(err)
	}
	for _, container := range []corev1.Container{pod.Spec.InitContainers[1], pod.Spec.Containers[0], pod.Spec.Containers[1]} {
		if len(container.Env) == 0 || container.Env[0].Name != "DATABASE_URL" {
			t.Errorf("%s: %v", container.Name, container.Env)
		}
	}
	if len(pod.Spec.InitContainers) != 2 || pod.Spec.InitContainers[0].Name != injection.ContainerName {
		t.Errorf("init containers %v", pod.Spec.InitContainers)
	}
}
