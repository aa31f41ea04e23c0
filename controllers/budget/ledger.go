package budget

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Key is one budget.
type Key struct {
	DataSource     types.NamespacedName
	Namespace      string // of the subject
	ServiceAccount string
	Policy         types.NamespacedName
	Rule           string
	Budget         string // rowsPerHour, bytesPerHour or probesPerHour
}

// text tells keys apart: no part can have a line break in it.
func (k Key) text() string {
	return fmt.Sprintf("%s\n%s/%s\n%s\n%s\n%s", k.DataSource, k.Namespace, k.ServiceAccount, k.Policy, k.Rule, k.Budget)
}

func (k Key) name() string {
	sum := sha256.Sum256([]byte(k.text()))
	return "tidewaiter-budget-" + hex.EncodeToString(sum[:16])
}

const (
	// Label marks the ledger's ConfigMaps; its value is Labeled.
	Label, Labeled = "tidewaiter.dev/ledger", "budget"
	// subjectLabel has the subject's namespace.
	subjectLabel = "tidewaiter.dev/subject-namespace"
	stateKey     = "state"
	aboutKey     = "about"

	// maxKeys bounds the budgets that are counted at a time, and maxKeysOfNamespace those of one namespace's subjects: who
	// may create service accounts must not use up everybody's places. Past them nothing is lent.
	maxKeys            = 8192
	maxKeysOfNamespace = 1024

	// maxTries bounds how often one request is tried against other replicas.
	maxTries = 12
)

// ErrFull is why nothing is lent where too many budgets are counted.
var ErrFull = errors.New("budget: too many budgets are counted at the moment")

// Options of a Ledger. ConfigMaps is required.
type Options struct {
	// ConfigMaps of the operator's own namespace, not cached.
	ConfigMaps corev1client.ConfigMapInterface
	// Now is the clock. Those of the replicas have to agree to within seconds.
	Now func() time.Time
	Log logr.Logger
}

// Ledger lends parts of budgets. It is safe for concurrent use.
type Ledger struct {
	o Options

	mu   sync.Mutex
	keys map[string]*entry // by name of the ConfigMap; bounded by maxKeys
	// counts of ConfigMaps by namespace of the subjects, as of the last sweep and what was made since.
	counts map[string]int
	total  int
}

// entry is what this replica remembers of a budget.
type entry struct {
	mu     sync.Mutex        // one request at a time: a replica need not conflict with itself
	latest *corev1.ConfigMap // as this replica has written it; another may have since
	used   time.Time
}

// New returns a ledger.
func New(o Options) *Ledger {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Ledger{o: o, keys: map[string]*entry{}, counts: map[string]int{}}
}

// Lend answers a request. An error lends nothing: the ledger cannot be read or written, or ErrFull.
func (l *Ledger) Lend(ctx context.Context, k Key, a Ask) (Answer, error) {
	e := l.entry(k.name())
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	for try := range maxTries {
		if try > 0 {
			if perr := pause(ctx, rand.N(time.Duration(try)*10*time.Millisecond)); perr != nil {
				return Answer{}, errors.Join(perr, err)
			}
		}
		var answer Answer
		answer, err = l.try(ctx, e, k, a)
		if err == nil {
			return answer, nil
		}
		e.latest = nil // read it again
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return Answer{}, err
		}
	}
	return Answer{}, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try reads, lends and writes once. What lends nothing is not written, and is not said by memory: others may have given back.
func (l *Ledger) try(ctx context.Context, e *entry, k Key, a Ask) (Answer, error) {
	remembered := e.latest != nil
	cm, s, err := l.read(ctx, e, k)
	if err != nil {
		return Answer{}, err
	}
	before := s.used()
	answer := s.lend(a, l.o.Now())
	switch {
	case answer.Granted > 0 || s.used() != before || a.Over > 0:
		e.latest, err = l.write(ctx, cm, k, s)
		return answer, err
	case remembered && a.Want > 0:
		e.latest = nil
		return l.try(ctx, e, k, a)
	default:
		return answer, nil
	}
}

// read returns the ConfigMap, nil where there is none yet, and the state in it.
func (l *Ledger) read(ctx context.Context, e *entry, k Key) (*corev1.ConfigMap, state, error) {
	cm := e.latest
	if cm == nil {
		var err error
		cm, err = l.o.ConfigMaps.Get(ctx, k.name(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, newState(), nil
		}
		if err != nil {
			return nil, state{}, err
		}
		e.latest = cm
	}
	if cm.Data[aboutKey] != k.text() {
		return nil, state{}, fmt.Errorf("budget: ConfigMap %s is about something else: delete it", cm.Name)
	}
	s, err := parse(cm.Data[stateKey])
	return cm, s, err
}

func (l *Ledger) write(ctx context.Context, cm *corev1.ConfigMap, k Key, s state) (*corev1.ConfigMap, error) {
	if cm != nil {
		cm = cm.DeepCopy()
		cm.Data[stateKey] = s.String()
		return l.o.ConfigMaps.Update(ctx, cm, metav1.UpdateOptions{}) // its resourceVersion says what it was made from
	}
	if !l.place(k.Namespace) {
		return nil, ErrFull
	}
	cm, err := l.o.ConfigMaps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: k.name(), Labels: map[string]string{Label: Labeled, subjectLabel: k.Namespace}},
		Data:       map[string]string{aboutKey: k.text(), stateKey: s.String()},
	}, metav1.CreateOptions{})
	if err == nil {
		l.mu.Lock()
		l.counts[k.Namespace]++
		l.total++
		l.mu.Unlock()
	}
	return cm, err
}

// place reports whether another budget may be counted.
func (l *Ledger) place(namespace string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total < maxKeys && l.counts[namespace] < maxKeysOfNamespace
}

func (l *Ledger) entry(name string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[name]
	if e == nil {
		if len(l.keys) >= maxKeys { // it is memory alone
			l.keys = map[string]*entry{}
		}
		e = &entry{}
		l.keys[name] = e
	}
	e.used = l.o.Now()
	return e
}
