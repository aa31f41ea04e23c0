package audit

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// TokenReviewer is what is used of client-go's AuthenticationV1().TokenReviews().
type TokenReviewer interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// AccessReviewer is what is used of client-go's AuthorizationV1().SubjectAccessReviews().
type AccessReviewer interface {
	Create(ctx context.Context, review *authorizationv1.SubjectAccessReview, o metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

// Eraser erases the content of a session for good: it deletes the session's key, and has that logged with who asked and why. The
// error is store.ErrNotFound for a session that is not there, and store.ErrErased where the key is gone already.
type Eraser interface {
	Erase(ctx context.Context, s store.Session, by, reason string) error
}

// Options of a Server. The first group is required; what else is left out has a default.
type Options struct {
	// Source is the bucket.
	Source store.Source
	// Tokens and Access ask the API server who calls, and whether they may.
	Tokens TokenReviewer
	Access AccessReviewer
	// TLS has the server's certificate. Nothing is served in clear text.
	TLS *tls.Config
	// Listen is host:port, or Listener is open already.
	Listen   string
	Listener net.Listener

	// Eraser erases; nil, nothing can be erased.
	Eraser Eraser
	// PerUser is how many requests of one user are answered at the same time, and All those of everybody: 4 and 64.
	PerUser, All int
	// Patience is how long one request may take: 2 min.
	Patience time.Duration
	// Log gets a line for each read, each erasure and each refusal of somebody who is known.
	Log logr.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

func (o *Options) defaults() error {
	if o.Source == nil || o.Tokens == nil || o.Access == nil {
		return errors.New("audit: Source, Tokens and Access are required")
	}
	if o.TLS == nil || (len(o.TLS.Certificates) == 0 && o.TLS.GetCertificate == nil) {
		return errors.New("audit: TLS is required, with a certificate")
	}
	if (o.Listen == "") == (o.Listener == nil) {
		return errors.New("audit: either Listen or Listener is required")
	}
	o.PerUser, o.All, o.Patience = cmp.Or(o.PerUser, 4), cmp.Or(o.All, 64), cmp.Or(o.Patience, 2*time.Minute)
	if o.PerUser < 1 || o.All < 1 || o.Patience < time.Millisecond {
		return errors.New("audit: PerUser, All and Patience must be positive")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}
