package kubetest

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// audience is any that is not the API server's own: a token for it opens nothing else.
const audience = "tidewaiter.dev/operator"

func review(t *testing.T, server *Server, token, audience string) authenticationv1.TokenReviewStatus {
	t.Helper()
	answer, err := clientFor(t, server.Config).AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

func newPod(t *testing.T, server *Server) *corev1.Pod {
	t.Helper()
	namespace := server.NewNamespace(t, nil)
	pod, err := clientFor(t, server.Config).CoreV1().Pods(namespace).Create(t.Context(), plainPod("one"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func TestATokenBoundToAPodIsReviewedWithThePodsNameAndUID(t *testing.T) {
	server := Shared(t)
	pod := newPod(t, server)
	token, err := server.PodToken(t.Context(), pod, audience)
	if err != nil {
		t.Fatal(err)
	}
	got := review(t, server, token, audience)
	if !got.Authenticated || got.User.Username != "system:serviceaccount:"+pod.Namespace+":default" {
		t.Fatalf("got %+v", got)
	}
	for key, want := range map[string]string{serviceaccount.PodNameKey: pod.Name, serviceaccount.PodUIDKey: string(pod.UID)} {
		if value := got.User.Extra[key]; len(value) != 1 || value[0] != want {
			t.Errorf("%s: got %q, want %q", key, value, want)
		}
	}
	if got := review(t, server, token, server.Config.Host); got.Authenticated {
		t.Error("it is good for another audience as well")
	}
}

func TestATokenOfADeletedPodIsWorthNothing(t *testing.T) {
	server := Shared(t)
	pod := newPod(t, server)
	token, err := server.PodToken(t.Context(), pod, audience)
	if err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	err = clientFor(t, server.Config).CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		t.Fatal(err)
	}
	// The server answers reviews from a cache for ten seconds.
	waitFor(t, "the token to be refused", func() bool { return !review(t, server, token, audience).Authenticated })
}

func TestATokenBoundToNoPodNamesNone(t *testing.T) {
	server := Shared(t)
	namespace := server.NewNamespace(t, nil)
	token, err := server.UnboundToken(t.Context(), namespace, defaultAccount, audience)
	if err != nil {
		t.Fatal(err)
	}
	got := review(t, server, token, audience)
	if !got.Authenticated || len(got.User.Extra[serviceaccount.PodNameKey]) > 0 {
		t.Errorf("got %+v", got)
	}
}
