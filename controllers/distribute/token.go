package distribute

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	maxToken      = 16 << 10 // bytes
	reviewTimeout = 10 * time.Second
	maxReviews    = 64 // at the same time
	maxOfOneHost  = 8  // of them: nodes can hide many sidecars behind one address
	skew          = 10 * time.Second
)

// Extra fields of a user that a token bound to a pod has (KEP-1205).
const (
	extraPodName = "authentication.kubernetes.io/pod-name"
	extraPodUID  = "authentication.kubernetes.io/pod-uid"
)

// caller is who a token was made for, as the API server says.
type caller struct {
	namespace, serviceAccount string
	pod, uid                  string
}

// bearer takes the token out of a call's metadata.
func bearer(ctx context.Context) (string, *refusal) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return "", unauthenticated(ReasonTokenMissing, "the call has no authorization: the sidecar's token has to come as bearer token")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxToken {
		return "", unauthenticated(ReasonTokenMalformed, "the authorization is not a bearer token")
	}
	return token, nil
}

// claims are what a token says, before anybody has verified it.
type claims struct {
	Audience audiences `json:"aud"`
	Expires  int64     `json:"exp"`
	Bound    struct {
		Pod struct {
			UID string `json:"uid"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// audiences is one string or a list (RFC 7519, section 4.1.3).
type audiences []string

// UnmarshalJSON reads both forms.
func (a *audiences) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// precheck refuses what the API server would refuse, without asking it. It grants
// nothing: it tells callers what is wrong with what they say themselves.
func precheck(token string, now time.Time) *refusal {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return unauthenticated(ReasonTokenMalformed, "the token is not a service account's JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return unauthenticated(ReasonTokenMalformed, "the token is not a service account's JWT")
	}
	switch {
	case !slices.Contains(c.Audience, Audience):
		return unauthenticated(ReasonTokenAudience, "the token was not made for the audience "+Audience+": use the one of the volume tidewaiter-identity")
	case c.Expires > 0 && now.Add(-skew).Unix() > c.Expires:
		return unauthenticated(ReasonTokenExpired, "the token has expired: read it from its file again, which the kubelet renews")
	case c.Bound.Pod.UID == "":
		return unauthenticated(ReasonTokenNotBound, "the token is not bound to a pod: use the one of the volume tidewaiter-identity")
	}
	return nil
}

// authenticator asks the API server, not too often.
type authenticator struct {
	reviews TokenReviewer
	now     func() time.Time
	tries   *throttle
	hosts   *turns
	slots   chan struct{}
}

func newAuthenticator(reviews TokenReviewer, now func() time.Time) *authenticator {
	return &authenticator{
		reviews: reviews, now: now, tries: newThrottle(), hosts: newTurns(maxOfOneHost), slots: make(chan struct{}, maxReviews),
	}
}

// authenticate returns who the token was made for.
func (a *authenticator) authenticate(ctx context.Context, token string) (caller, error) {
	if r := precheck(token, a.now()); r != nil {
		return caller{}, r
	}
	if !a.tries.allow(sha256.Sum256([]byte(token)), a.now()) {
		return caller{}, &refusal{codes.ResourceExhausted, ReasonTooManyTries, "the sidecar connects too often with this token: wait some seconds"}
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	busy := &refusal{codes.ResourceExhausted, ReasonTooManyTries, "too many sidecars connect at once: wait some seconds"}
	done, ok := a.hosts.take(ctx)
	if !ok {
		return caller{}, busy
	}
	defer done()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return caller{}, busy
	}
	review, err := a.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}},
	}, metav1.CreateOptions{})
	if err != nil { // the error could hold the request, and the request holds the token
		return caller{}, unavailable(ReasonReviewFailed, "the API server could not be asked for the token: try again")
	}
	return judge(&review.Status)
}

// judge reads the API server's answer. Whatever is not there refuses.
func judge(s *authenticationv1.TokenReviewStatus) (caller, error) {
	if !s.Authenticated {
		// The API server says so only of a token that it has signed itself.
		if strings.Contains(s.Error, "has been invalidated") {
			return caller{}, unauthenticated(ReasonPodDeleted, "the pod or the service account that the token was made for is gone")
		}
		return caller{}, unauthenticated(ReasonTokenRejected, "the API server does not believe the token")
	}
	if !slices.Contains(s.Audiences, Audience) {
		return caller{}, unauthenticated(ReasonTokenAudience, "the token was not made for the audience "+Audience)
	}
	c := caller{pod: one(s.User.Extra[extraPodName]), uid: one(s.User.Extra[extraPodUID])}
	if c.pod == "" || c.uid == "" {
		return caller{}, unauthenticated(ReasonTokenNotBound, "the token is not bound to a pod: use the one of the volume tidewaiter-identity")
	}
	account, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	c.namespace, c.serviceAccount, _ = strings.Cut(account, ":")
	if !ok || c.namespace == "" || c.serviceAccount == "" {
		return caller{}, unauthenticated(ReasonServiceAccount, "the token is not a service account's")
	}
	return c, nil
}

func one(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}
