package reader

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Bounds of a request that fails: a replica that stops, or one that is busy, is asked again, or another one is.
const (
	maxTries    = 8
	maxInterval = 5 * time.Second
	maxElapsed  = 2 * time.Minute
	onePatience = 3 * time.Minute // for one try, with its body
)

// ask sends a request until it is answered, and returns the body. What names the object in errors. To erase is asked again like
// everything else: who erases what is erased is told so.
func (r *Reader) ask(ctx context.Context, method, path string, query url.Values, body []byte, what string) ([]byte, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, maxInterval
	var last error
	out, err := backoff.Retry(ctx, func() ([]byte, error) {
		var out []byte
		out, last = r.try(ctx, method, path, query, body)
		return out, last
	},
		backoff.WithBackOff(pause), backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(maxElapsed))
	if err == nil {
		return out, nil
	}
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	if ctx.Err() != nil && last != nil && !errors.Is(last, ctx.Err()) {
		err = fmt.Errorf("%w, and before: %w", ctx.Err(), last) // what was waited for
	}
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		switch refusal.Reason {
		case wire.ReasonNotFound:
			return nil, fmt.Errorf("%s: %w", what, store.ErrNotFound)
		case wire.ReasonErased:
			return nil, fmt.Errorf("%s: %w", what, store.ErrErased)
		}
	}
	return nil, fmt.Errorf("%s: %w", what, err)
}

// try is one request. Errors that another try cannot cure are permanent.
func (r *Reader) try(ctx context.Context, method, path string, query url.Values, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, onePatience)
	defer cancel()
	token, err := r.tokens.get(ctx)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	u := *r.base
	u.Path, u.RawQuery = path, query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.client.Do(request)
	if err != nil {
		var unverified *tls.CertificateVerificationError
		if errors.As(err, &unverified) {
			return nil, backoff.Permanent(fmt.Errorf("who answers is not the operator: its certificate is not by the authority in ConfigMap %s/%s: %w",
				r.o.Namespace, caConfigMap, unverified))
		}
		return nil, fmt.Errorf("the operator cannot be reached: %w", bare(err))
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxObject+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the operator's answer was cut off: %w", err)
	case len(answer) > maxObject:
		return nil, backoff.Permanent(fmt.Errorf("the operator's answer has more than %d bytes", maxObject))
	case response.StatusCode == http.StatusOK:
		return answer, nil
	}
	refusal := refused(response, answer)
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return nil, refusal
	case http.StatusUnauthorized:
		r.tokens.drop(token)
		if refusal.Reason == wire.ReasonTokenExpired {
			return nil, refusal // another one may be taken
		}
	}
	return nil, backoff.Permanent(refusal)
}

// bare is what a *url.Error is about, without the URL: it is long, and says nothing that a person asked for.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refused reads a refusal. What is not one is not shown: it may be anything.
func refused(response *http.Response, body []byte) *wire.Refusal {
	r := &wire.Refusal{}
	if json.Unmarshal(body, r) != nil || r.Reason == "" {
		r = &wire.Refusal{Reason: "Unknown", Message: "who answers does not speak as the operator does: " + response.Status}
	}
	r.Status = response.StatusCode
	return r
}
