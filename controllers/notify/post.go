package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Bounds of one delivery.
const (
	perAttempt = 10 * time.Second
	attempts   = 8
	firstPause = time.Second
	maxPause   = time.Minute
	maxWait    = 5 * time.Minute // of a Retry-After
	maxAnswer  = 16 << 10        // bytes of an answer that are read, so that the connection can be used again
)

// receiver posts to one sink.
type receiver struct {
	sink      *Sink
	transport http.RoundTripper
	first     time.Duration
	tried     func()
}

func newTransport(s *Sink) (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		DialContext:     (&net.Dialer{Timeout: perAttempt / 2}).DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: perAttempt / 2,
		MaxConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
	}
	if s.ca != nil {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(s.ca) {
			return nil, fmt.Errorf("sink %s: caFile: has no certificate in PEM", s.Name)
		}
	}
	return t, nil
}

// deliver posts a notice until it is taken, is refused for good, or has been tried often enough. What it returns says
// nothing of the URL, nor anything that the receiver has written.
func (r *receiver) deliver(ctx context.Context, n *notice) error {
	body, mediaType, err := n.body(r.sink.Format)
	if err != nil {
		return err
	}
	pause := backoff.NewExponentialBackOff() // with jitter
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier = r.first, maxPause, 2
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		r.tried()
		return struct{}{}, r.post(ctx, n.id(), body, mediaType)
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(attempts), backoff.WithMaxElapsedTime(attempts*maxWait))
	var later *backoff.RetryAfterError
	if errors.As(err, &later) {
		return errors.New("the receiver kept asking for another time")
	}
	return err
}

// post makes one attempt. It calls the transport itself: no redirect is followed, to wherever it leads.
func (r *receiver) post(ctx context.Context, id string, body []byte, mediaType string) error {
	ctx, cancel := context.WithTimeout(ctx, perAttempt)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.sink.URL, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(errors.New("the sink's url cannot be posted to"))
	}
	for name, value := range r.sink.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("User-Agent", "tidewaiter-operator")
	now := time.Now()
	sign(req.Header, r.sink.key, id, now, body)
	answer, err := r.transport.RoundTrip(req)
	if err != nil {
		return cause(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // the status has said it
	switch code := answer.StatusCode; {
	case code/100 == 2:
		return nil
	case code == http.StatusTooManyRequests || code >= 500:
		if wait, ok := retryAfter(answer.Header.Get("Retry-After"), now); ok {
			return &backoff.RetryAfterError{Duration: min(wait, maxWait)}
		}
		return fmt.Errorf("the receiver answered %d", code)
	default:
		return backoff.Permanent(fmt.Errorf("the receiver answered %d", code))
	}
}

// retryAfter reads the header: seconds, or a date (RFC 9110, section 10.2.3).
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

// cause words why there was no answer. Errors of the transport may quote what the receiver sent, and that the URL.
func cause(err error) error {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", perAttempt)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &dns):
		return errors.New("the receiver's name was not found")
	case errors.As(err, &certificate):
		return errors.New("the receiver's certificate is not trusted: set caFile, or correct url")
	case errors.As(err, &op):
		return fmt.Errorf("no connection to the receiver (%s)", op.Op)
	}
	return errors.New("the receiver broke the exchange off")
}
