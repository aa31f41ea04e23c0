package distribute

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
	"github.com/tidewaiter/tidewaiter/injection"
)

// refusedWith expects that a stream with the token is refused. What the operator has
// not seen yet is tried again, as a sidecar does.
func (o *operator) refusedWith(t *testing.T, token string, code codes.Code, reason string) {
	t.Helper()
	var gotCode codes.Code
	var got string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(tryInterval) {
		c := o.dial(t, token)
		gotCode, got = c.ended()
		if got != ReasonPodNotSeen || reason == ReasonPodNotSeen {
			break
		}
	}
	if gotCode != code || got != reason {
		t.Errorf("refused with %s %s, want %s %s", gotCode, got, code, reason)
	}
}

func deleteNow(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	must(t, c.Delete(t.Context(), o, client.GracePeriodSeconds(0)))
}

func TestTokensAreRefusedEachWithItsReason(t *testing.T) {
	s := start(t, nil).shop(t)
	good := s.pod(t, "good", "orders")
	t.Run("no token", func(t *testing.T) { s.refusedWith(t, "", codes.Unauthenticated, ReasonTokenMissing) })
	t.Run("no JWT", func(t *testing.T) { s.refusedWith(t, "abc", codes.Unauthenticated, ReasonTokenMalformed) })
	t.Run("another audience", func(t *testing.T) {
		token, err := s.kube.PodToken(t.Context(), good, "https://elsewhere.example")
		must(t, err)
		s.refusedWith(t, token, codes.Unauthenticated, ReasonTokenAudience)
	})
	t.Run("bound to no pod", func(t *testing.T) {
		token, err := s.kube.UnboundToken(t.Context(), s.work, "default", Audience)
		must(t, err)
		s.refusedWith(t, token, codes.Unauthenticated, ReasonTokenNotBound)
	})
	t.Run("forged", func(t *testing.T) {
		s.refusedWith(t, forged(string(good.UID), time.Now().Add(time.Hour)), codes.Unauthenticated, ReasonTokenRejected)
	})
	t.Run("altered", func(t *testing.T) {
		token := []byte(s.token(t, good))
		token[len(token)-20] ^= 1
		s.refusedWith(t, string(token), codes.Unauthenticated, ReasonTokenRejected)
	})
	t.Run("a deleted pod's", func(t *testing.T) {
		pod := s.pod(t, "deleted", "orders")
		token := s.token(t, pod)
		deleteNow(t, s.client, pod)
		s.refusedWith(t, token, codes.Unauthenticated, ReasonPodDeleted)
	})
	t.Run("an earlier pod's of the same name", func(t *testing.T) {
		pod := s.pod(t, "again", "orders")
		token := s.token(t, pod)
		c := s.dial(t, token) // the API server has the answer in its cache now
		c.hello()
		c.snapshot(true)
		deleteNow(t, s.client, pod)
		later := s.pod(t, "again", "orders")
		eventually(t, "the operator to see the later pod", func() bool {
			id, err := s.server.identify(t.Context(), caller{s.work, "default", "again", string(later.UID)}, false)
			return err == nil && id.pod.UID == later.UID
		})
		code, reason := s.dial(t, token).ended()
		if !(code == codes.PermissionDenied && reason == ReasonPodReplaced) && !(code == codes.Unauthenticated && reason == ReasonPodDeleted) {
			t.Errorf("refused with %s %s", code, reason)
		}
	})
	t.Run("a pod's that was not injected", func(t *testing.T) {
		plain := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.work, Name: "plain"},
			Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "example.org/app"}}},
		}
		must(t, s.client.Create(t.Context(), plain))
		s.refusedWith(t, s.token(t, plain), codes.PermissionDenied, ReasonNotInjected)
	})
	t.Run("a pod's with another image as proxy", func(t *testing.T) {
		pod := injected(s.work, "image", s.names([]string{"orders"}))
		pod.Spec.InitContainers[0].Image = "evil.example/proxy"
		must(t, s.client.Create(t.Context(), pod))
		s.refusedWith(t, s.token(t, pod), codes.PermissionDenied, string(injection.ReasonWrongImage))
	})
	t.Run("a pod's in a namespace that is not opted in", func(t *testing.T) {
		pod := injected(s.data, "elsewhere", s.names([]string{"orders"}))
		must(t, s.client.Create(t.Context(), pod))
		s.refusedWith(t, s.token(t, pod), codes.PermissionDenied, string(injection.ReasonNamespaceNotEnabled))
	})
	t.Run("a finished pod's", func(t *testing.T) {
		pod := s.pod(t, "finished", "orders")
		token := s.token(t, pod)
		pod.Status.Phase = corev1.PodSucceeded
		must(t, s.client.Status().Update(t.Context(), pod))
		eventually(t, "the operator to see it", func() bool {
			_, err := s.server.identify(t.Context(), caller{s.work, "default", "finished", string(pod.UID)}, false)
			return err != nil && reasonOf(err) == ReasonPodFinished
		})
		s.refusedWith(t, token, codes.PermissionDenied, ReasonPodFinished)
	})
	t.Run("another pod's gives that pod's", func(t *testing.T) {
		other := s.pod(t, "other", "orders")
		c := s.connect(t, other) // whoever it is
		if id := c.snapshot(true).GetDataSources()[0].GetIdentity(); id.GetPodUid() != string(other.UID) {
			t.Errorf("the bundle is for %s", id.GetPodUid())
		}
	})
}

func TestASidecarOfAnOlderImageIsServedDuringAnUpgrade(t *testing.T) {
	before := settings.Image
	s := start(t, func(o *Options, _ *session.Options) {
		o.Injection.Image, o.Injection.OlderImages = "example.org/tidewaiter-proxy:v0.2.0", []string{before}
	}).shop(t)
	c := s.connect(t, s.pod(t, "older", "orders"))
	if got := c.snapshot(true).GetDataSources(); len(got) != 1 || got[0].GetCredential().GetPassword() != canary {
		t.Errorf("it is served %d data sources", len(got))
	}
	older := injected(s.work, "oldest", s.names([]string{"orders"}))
	older.Spec.InitContainers[0].Image = "example.org/tidewaiter-proxy:v0.0.1"
	must(t, s.client.Create(t.Context(), older))
	s.refusedWith(t, s.token(t, older), codes.PermissionDenied, string(injection.ReasonWrongImage))
}

func TestAnExpiredTokenIsRefused(t *testing.T) {
	late := func(o *Options, _ *session.Options) {
		o.Now = func() time.Time { return time.Now().Add(11 * time.Minute) }
	}
	s := start(t, late).shop(t)
	s.refusedWith(t, s.token(t, s.pod(t, "report", "orders")), codes.Unauthenticated, ReasonTokenExpired)
}

// forged is a token that nobody signed.
func forged(uid string, expires time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256","kid":"x"}`) + "." + part(fmt.Sprintf(
		`{"aud":[%q],"exp":%d,"iss":"https://kubernetes.default.svc","kubernetes.io":{"pod":{"uid":%q}},"sub":"system:serviceaccount:a:b"}`,
		Audience, expires.Unix(), uid)) + "." + part("signature")
}

func TestATokenIsNotTriedWithoutEnd(t *testing.T) {
	s := start(t, nil).shop(t)
	token := s.token(t, s.pod(t, "report", "orders"))
	reasons := map[string]int{}
	for range tryBurst + 3 {
		c := s.dial(t, token)
		_ = c.stream.Send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{Hello: &sidecarv1alpha1.Hello{}}}) // Recv says why it fails
		if _, err := c.stream.Recv(); err != nil {
			_, reason := ended(err)
			reasons[reason]++
		} else {
			reasons["served"]++
		}
	}
	if reasons[ReasonTooManyTries] == 0 || reasons[ReasonTooManyTries] > 3 {
		t.Errorf("outcomes %v", reasons)
	}
}
