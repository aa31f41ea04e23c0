package audit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
)

const (
	maxToken      = 16 << 10 // bytes
	reviewTimeout = 10 * time.Second
	maxReviews    = 16 // of tokens at the same time: whoever reaches the port can show tokens
	skew          = 10 * time.Second
)

// cure ends every answer about a token.
const cure = ": make one with kubectl create token SERVICEACCOUNT -n NAMESPACE --audience " + wire.Audience

// extraCredential is the field of a user that names the very token (KEP-4193): the API server's audit log says who asked for it.
const extraCredential = "authentication.kubernetes.io/credential-id"

// user is whose token it is, as the API server says.
type user struct {
	authenticationv1.UserInfo
	token [sha256.Size]byte // its digest
}

// credential names the token, without giving it away.
func (u *user) credential() string {
	if ids := u.Extra[extraCredential]; len(ids) == 1 {
		return ids[0]
	}
	return ""
}

// bearer takes the token out of a request.
func bearer(r *http.Request) (string, *wire.Refusal) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", refuse(http.StatusUnauthorized, wire.ReasonTokenMissing, "the request has no token: send Authorization: Bearer TOKEN"+cure)
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxToken {
		return "", refuse(http.StatusUnauthorized, wire.ReasonTokenMalformed, "the authorization is not a bearer token"+cure)
	}
	return token, nil
}

// precheck refuses what the API server would refuse, without asking it. It grants nothing. That somebody's token for the API server
// itself is refused here keeps it from being used for what it was not meant for.
func precheck(token string, now time.Time) *wire.Refusal {
	var c struct {
		Audience audiences `json:"aud"`
		Expires  float64   `json:"exp"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refuse(http.StatusUnauthorized, wire.ReasonTokenMalformed, "the token is not a JWT"+cure)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return refuse(http.StatusUnauthorized, wire.ReasonTokenMalformed, "the token is not a JWT"+cure)
	}
	switch {
	case !slices.Contains(c.Audience, wire.Audience):
		return refuse(http.StatusUnauthorized, wire.ReasonTokenAudience, "the token was not made for the audience "+wire.Audience+cure)
	case c.Expires > 0 && float64(now.Add(-skew).Unix()) > c.Expires:
		return refuse(http.StatusUnauthorized, wire.ReasonTokenExpired, "the token has expired"+cure)
	}
	return nil
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

// verdict is what the API server said of a token.
type verdict struct {
	user    *user
	refusal *wire.Refusal
}

// callers asks the API server whose tokens they are.
type callers struct {
	reviews TokenReviewer
	now     func() time.Time
	known   *brief[[sha256.Size]byte, verdict]
	slots   chan struct{}
}

func newCallers(reviews TokenReviewer, now func() time.Time) *callers {
	return &callers{
		reviews: reviews, now: now, known: newBrief[[sha256.Size]byte, verdict](now), slots: make(chan struct{}, maxReviews),
	}
}

// identify returns who calls.
func (c *callers) identify(r *http.Request) (*user, *wire.Refusal) {
	token, refusal := bearer(r)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := precheck(token, c.now()); refusal != nil {
		return nil, refusal
	}
	digest := sha256.Sum256([]byte(token))
	if v, ok := c.known.get(digest); ok {
		return v.user, v.refusal
	}
	asked := c.now()
	ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, refuse(http.StatusTooManyRequests, wire.ReasonTooMany, "too many tokens are shown at once: try again")
	}
	review, err := c.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{wire.Audience}},
	}, metav1.CreateOptions{})
	if err != nil { // the error could hold the request, and the request holds the token
		return nil, refuse(http.StatusServiceUnavailable, wire.ReasonUnavailable, "the API server could not be asked for the token: try again")
	}
	v := verdict{}
	v.user, v.refusal = judge(&review.Status)
	if v.user != nil {
		v.user.token = digest
	}
	c.known.put(digest, v, asked)
	return v.user, v.refusal
}

// judge reads the API server's answer. Whatever is not there refuses.
func judge(s *authenticationv1.TokenReviewStatus) (*user, *wire.Refusal) {
	switch {
	case !s.Authenticated:
		return nil, refuse(http.StatusUnauthorized, wire.ReasonTokenRejected, "the API server does not believe the token: it is of another cluster, has expired, or what it was made for is gone"+cure)
	case !slices.Contains(s.Audiences, wire.Audience):
		return nil, refuse(http.StatusUnauthorized, wire.ReasonTokenAudience, "the token was not made for the audience "+wire.Audience+cure)
	case s.User.Username == "":
		return nil, refuse(http.StatusUnauthorized, wire.ReasonTokenRejected, "the API server does not say whose the token is"+cure)
	}
	return &user{UserInfo: s.User}, nil
}
