package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

const (
	// podsName is the object with the pods that are attested and not gone, so that a new leader need not read the whole log to
	// know them. It is a help, not a proof: a pod that is missing in it is one that nobody says to be gone.
	podsName = ledger.Prefix + "open-pods.json"
	// podsEvery is how often it is looked whether pods have ended.
	podsEvery = 15 * time.Second
	// podsGrace is for what is on its way when a pod ends: what is sealed after it is gone is not believed.
	podsGrace = 30 * time.Second
)

// Why pods are gone.
const (
	GoneDeleted  = "Deleted"
	GoneFinished = "Finished"
)

// leftPods is what is in the object.
type leftPods struct {
	Size int64        `json:"size"` // of the log whose pods they are
	Root tlog.Hash    `json:"root"`
	Pods []ledger.Pod `json:"pods"`
}

func (s *Sequencer) readPods(ctx context.Context) (leftPods, error) {
	var left leftPods
	data, err := s.o.Objects.Get(ctx, podsName)
	if errors.Is(err, fs.ErrNotExist) {
		return left, nil
	}
	if err != nil {
		return left, err
	}
	return parsePods(data), nil
}

// parsePods is empty of what is none: the whole log is read instead.
func parsePods(data []byte) leftPods {
	var left leftPods
	if json.Unmarshal(data, &left) != nil {
		return leftPods{}
	}
	return left
}

// keepPods writes the object.
func (s *Sequencer) keepPods(ctx context.Context) error {
	s.mu.Lock()
	left := leftPods{Size: s.seen.size, Root: s.seen.root}
	for _, p := range s.seen.pods {
		left.Pods = append(left.Pods, p.Pod)
	}
	s.mu.Unlock()
	slices.SortFunc(left.Pods, func(a, b ledger.Pod) int { return strings.Compare(a.UID, b.UID) })
	return putJSON(ctx, s.o.Objects, podsName, &left)
}

// watchPods says of pods that they are gone. It looks at all that are attested, again and again, instead of waiting to be told:
// so it does not matter who was leader when a pod ended, nor whether anybody was.
func (s *Sequencer) watchPods(ctx context.Context) {
	for {
		if err := s.lookAtPods(ctx); err != nil && ctx.Err() == nil {
			s.metrics.failed(at("pods", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(podsEvery):
		}
	}
}

// lookAtPods looks once.
func (s *Sequencer) lookAtPods(ctx context.Context) error {
	s.mu.Lock()
	pods := make([]ledger.Pod, 0, len(s.seen.pods))
	for _, p := range s.seen.pods {
		pods = append(pods, p.Pod)
	}
	s.mu.Unlock()
	var all error
	for _, p := range pods {
		why, err := s.o.Ended(ctx, p)
		if err != nil {
			all = errors.Join(all, err)
			continue // who cannot be looked up is not said to be gone
		}
		if !s.missing(p.UID, why != "") {
			continue
		}
		a := Appender{Objects: s.o.Objects, Now: s.o.Now}
		all = errors.Join(all, a.Append(ctx, &ledger.Leaf{Kind: ledger.KindGone, ID: goneID(p.UID), Pod: p, Gone: why}))
	}
	return all
}

// missing notes whether a pod has ended, and reports whether it has for long enough.
func (s *Sequencer) missing(uid string, ended bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.seen.pods[uid]
	if p == nil {
		return false // meanwhile it is in the log
	}
	now := s.o.Now()
	if !ended {
		p.missing = time.Time{}
		return false
	}
	if p.missing.IsZero() {
		p.missing = now
	}
	return now.Sub(p.missing) >= podsGrace
}

// EndedPods answers Options.Ended from the API. What a cache says is gone is asked for again at the API server: a cache that is
// behind must not end a pod.
func EndedPods(cached, direct client.Reader) func(context.Context, ledger.Pod) (string, error) {
	return func(ctx context.Context, p ledger.Pod) (string, error) {
		why, err := ended(ctx, cached, p)
		if why == "" && err == nil {
			return "", nil
		}
		return ended(ctx, direct, p)
	}
}

func ended(ctx context.Context, from client.Reader, p ledger.Pod) (string, error) {
	var pod corev1.Pod
	err := from.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: p.Name}, &pod)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return "", fmt.Errorf("read Pod %s/%s: %w", p.Namespace, p.Name, err)
	case apierrors.IsNotFound(err), string(pod.UID) != p.UID:
		return GoneDeleted, nil
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return GoneFinished, nil
	}
	return "", nil
}
