package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/formats/note"
	sumnote "golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

const (
	// witnessPatience is how long a witness may take. A checkpoint waits for it.
	witnessPatience = 3 * time.Second
	// A witness that fails is asked again after a while, which doubles: nothing waits for it each second.
	firstRest, longestRest = 15 * time.Second, 5 * time.Minute
	// maxAnswer is the most that is read of a witness's answer.
	maxAnswer = 16 << 10
)

// Witness cosigns checkpoints that are consistent with those that it has seen (C2SP tlog-witness).
type Witness struct {
	key  sumnote.Verifier
	url  string // of add-checkpoint
	http *http.Client

	size  int64 // of the last checkpoint that it is known to have cosigned
	rest  time.Duration
	again time.Time // not before
}

// ParseWitness reads a witness as it is configured: its key, name+hash+key as C2SP signed-note has it, an @, and the prefix
// of its URL.
func ParseWitness(text string) (*Witness, error) {
	key, address, ok := strings.Cut(text, "@")
	if !ok {
		return nil, errors.New("--log-witness: write it as NAME+HASH+KEY@URL")
	}
	v, err := note.NewVerifierForCosignatureV1(key)
	if err != nil {
		return nil, fmt.Errorf("--log-witness: the key before the @ is none of a witness, as C2SP tlog-cosignature has them: %w", err)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("--log-witness: %s: the URL after the @ must be http or https, without a user or a query", v.Name())
	}
	return &Witness{key: v, url: strings.TrimSuffix(address, "/") + "/add-checkpoint", http: &http.Client{
		Timeout: witnessPatience,
		// A checkpoint is for the one that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name is that of its key.
func (w *Witness) Name() string { return w.key.Name() }

// due reports whether it is to be asked.
func (w *Witness) due(now time.Time) bool { return !now.Before(w.again) }

// ask returns the checkpoint with the witness's cosignature.
func (w *Witness) ask(ctx context.Context, r *ledger.Reader, c *ledger.Checkpoint, log sumnote.Verifier, now time.Time) ([]byte, error) {
	cosigned, err := w.submit(ctx, r, c, log)
	if err == nil {
		w.size, w.rest, w.again = c.Tree.N, 0, time.Time{}
		return cosigned, nil
	}
	w.rest = min(max(2*w.rest, firstRest), longestRest)
	w.again = now.Add(w.rest)
	return nil, fmt.Errorf("witness %s: %w", w.Name(), err)
}

// submit sends a checkpoint, and once more where the witness says that it knows another size.
func (w *Witness) submit(ctx context.Context, r *ledger.Reader, c *ledger.Checkpoint, log sumnote.Verifier) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, witnessPatience)
	defer cancel()
	for attempt := range 2 {
		status, body, err := w.post(ctx, r, c)
		if err != nil {
			return nil, err
		}
		switch {
		case status == http.StatusOK:
			return ledger.Cosign(c.Signed, body, log, w.key)
		case status == http.StatusConflict && attempt == 0:
			size, err := strconv.ParseInt(strings.TrimSuffix(string(body), "\n"), 10, 64)
			if err != nil || size < 0 {
				return nil, errors.New("it answers with status 409 and no size: it knows another log under our origin")
			}
			if size > c.Tree.N {
				return nil, fmt.Errorf("it has seen %d leaves, and the log has %d: the log was put back", size, c.Tree.N)
			}
			w.size = size
		default:
			return nil, fmt.Errorf("it answers with status %d", status)
		}
	}
	return nil, errors.New("it answers with status 409 to the size that it said itself")
}

func (w *Witness) post(ctx context.Context, r *ledger.Reader, c *ledger.Checkpoint) (status int, body []byte, err error) {
	old := min(w.size, c.Tree.N)
	proof, err := r.Consistency(ctx, old, c.Tree.N)
	if err != nil {
		return 0, nil, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "old %d\n", old)
	for _, h := range proof {
		text.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	text.WriteString("\n")
	text.Write(c.Signed)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, &text)
	if err != nil {
		return 0, nil, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, body, err
}

// cosign asks all witnesses that are due, at the same time, and returns the checkpoint with what they have signed.
func (s *Sequencer) cosign(ctx context.Context, c *ledger.Checkpoint) []byte {
	if len(s.o.Witnesses) == 0 {
		return c.Signed
	}
	reader := ledger.NewReader(s.o.Objects, c)
	answers, errs := make([][]byte, len(s.o.Witnesses)), make([]error, len(s.o.Witnesses))
	var all sync.WaitGroup
	for i, w := range s.o.Witnesses {
		if !w.due(s.o.Now()) {
			errs[i] = fmt.Errorf("witness %s: it failed, and rests", w.Name())
			continue
		}
		all.Go(func() {
			answers[i], errs[i] = w.ask(ctx, reader, c, s.o.Keys.Verifier, s.o.Now())
			if errs[i] != nil {
				s.metrics.failed(at("witness", errs[i]))
			}
		})
	}
	all.Wait()
	cosigned, count := bytes.Clone(c.Signed), 0
	for _, a := range answers {
		if a != nil {
			cosigned = append(cosigned, a[len(c.Signed):]...) // the lines that were added
			count++
		}
	}
	s.metrics.cosigned.Set(float64(count))
	s.witnessed(count, cosigned, errors.Join(errs...))
	return cosigned
}
