package authority

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// SecretName of the Secret in the operator's namespace, and of the ConfigMaps that
// carry the trust bundle to pods.
const SecretName = "tidewaiter-ca"

// maxLeaves bounds the serving leaves that a replica keeps: one for each listener
// of a data source, and its own.
const maxLeaves = 4096

// ErrNotLoaded means that the Secret has not been read yet.
var ErrNotLoaded = errors.New("the operator's certificate authority has not been read yet")

// KeeperOptions say where the Secret is and how it is reached.
type KeeperOptions struct {
	// Client reads and writes the Secret. It must not read from a cache, which
	// would have to watch all Secrets: use client.New, not the manager's client.
	Client client.Client
	// Namespace of the operator.
	Namespace string
	// Interval between looks at the Secret; left out, 10 s.
	Interval time.Duration
	// Now is the clock; left out, time.Now.
	Now func() time.Time
}

// Keeper keeps the authority of the Secret in memory, makes the Secret when there
// is none, rotates its roots when that is due, and hands out leaves. Every replica
// runs one; which of them is first does not matter. It is safe for concurrent use.
type Keeper struct {
	o KeeperOptions

	mu        sync.Mutex
	current   *Authority
	leaves    map[string]*Leaf
	listeners []func()
}

// NewKeeper returns a Keeper that has read nothing yet: call Load, then Start.
func NewKeeper(o KeeperOptions) *Keeper {
	if o.Interval <= 0 {
		o.Interval = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{o: o, leaves: map[string]*Leaf{}}
}

// OnChange calls f after each change of the authority, not concurrently with
// itself. It is called before Start.
func (k *Keeper) OnChange(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listeners = append(k.listeners, f)
}

// Start looks at the Secret until ctx ends. What fails is tried again at the next
// look: the authority in memory is good for as long as its roots are.
func (k *Keeper) Start(ctx context.Context) error {
	ticker := time.NewTicker(k.o.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := k.Load(ctx); err != nil && ctx.Err() == nil {
				log.FromContext(ctx).Error(err, "the certificate authority could not be read", "secret", k.o.Namespace+"/"+SecretName)
			}
		}
	}
}

// NeedLeaderElection is false: every replica needs the authority, see
// manager.LeaderElectionRunnable.
func (k *Keeper) NeedLeaderElection() bool { return false }

// Load reads the Secret once, makes it if there is none, and rotates what is due.
// Replicas that do so at the same time end up with the same authority: the API
// server lets one of them win, and the others read what it wrote.
func (k *Keeper) Load(ctx context.Context) error {
	const attempts = 5
	for range attempts {
		secret, err := k.getOrCreate(ctx)
		if apierrors.IsAlreadyExists(err) {
			continue // another replica was faster
		}
		if err != nil {
			return err
		}
		found, err := Parse(secret.Data)
		if err != nil {
			return fmt.Errorf("Secret %s/%s: %w: restore it from a backup; if there is none, delete it and restart the injected pods",
				secret.Namespace, secret.Name, err)
		}
		next, changed, err := found.Next(k.o.Now())
		if err != nil {
			return err
		}
		if changed {
			if err := k.update(ctx, secret, next); apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				continue
			} else if err != nil {
				return err
			}
		}
		k.use(next)
		return nil
	}
	return fmt.Errorf("Secret %s/%s: changed by others %d times in a row", k.o.Namespace, SecretName, attempts)
}

func (k *Keeper) getOrCreate(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.o.Namespace, Name: SecretName}}
	err := k.o.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if err == nil || !apierrors.IsNotFound(err) {
		return secret, wrap("read", k.o.Namespace, err)
	}
	first, err := New(k.o.Now())
	if err != nil {
		return nil, err
	}
	if secret.Data, err = first.Data(); err != nil {
		return nil, err
	}
	secret.Type = corev1.SecretTypeOpaque
	secret.Labels = map[string]string{"app.kubernetes.io/name": "tidewaiter"}
	return secret, wrap("create", k.o.Namespace, k.o.Client.Create(ctx, secret))
}

func (k *Keeper) update(ctx context.Context, secret *corev1.Secret, next *Authority) error {
	data, err := next.Data()
	if err != nil {
		return err
	}
	secret = secret.DeepCopy() // with its resourceVersion: a change in between is a conflict
	secret.Data = data
	return wrap("update", k.o.Namespace, k.o.Client.Update(ctx, secret))
}

func wrap(verb, namespace string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s Secret %s/%s: %w", verb, namespace, SecretName, err)
}

// use makes next the current authority. Leaves of a root that no longer signs are
// made anew.
func (k *Keeper) use(next *Authority) {
	k.mu.Lock()
	changed := !next.same(k.current)
	if changed {
		k.current = next
	}
	listeners := slices.Clone(k.listeners)
	k.mu.Unlock()
	if !changed {
		return
	}
	for _, f := range listeners {
		f()
	}
}

// Current is the authority, or ErrNotLoaded.
func (k *Keeper) Current() (*Authority, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return nil, ErrNotLoaded
	}
	return k.current, nil
}

// TrustBundle is the current authority's (PEM).
func (k *Keeper) TrustBundle() ([]byte, error) {
	a, err := k.Current()
	if err != nil {
		return nil, err
	}
	return a.TrustBundle(), nil
}

// Derive is the current authority's.
func (k *Keeper) Derive(name string) ([]byte, error) {
	a, err := k.Current()
	if err != nil {
		return nil, err
	}
	return a.Derive(name), nil
}

// Serving returns the leaf for a server of those names, the same one until it is
// due for renewal.
func (k *Keeper) Serving(names ...string) (*Leaf, error) {
	return k.leaf("serving "+strings.Join(names, " "), func(a *Authority, now time.Time) (*Leaf, error) {
		return a.Serving(names, now)
	})
}

// Listener returns a leaf for a sidecar's listener of those names. It leaves out
// names in the operator's own namespace, and returns those that it left out: who
// writes a DataSource chooses its host name, and could otherwise have a certificate
// with which its pods speak to others as the operator.
func (k *Keeper) Listener(names ...string) (leaf *Leaf, refused []string, err error) {
	var allowed []string
	for _, name := range names {
		if slices.Contains(strings.Split(strings.ToLower(name), "."), strings.ToLower(k.o.Namespace)) {
			refused = append(refused, name)
		} else {
			allowed = append(allowed, name)
		}
	}
	leaf, err = k.Serving(allowed...)
	return leaf, refused, err
}

// BundleSigner returns the leaf that signs bundles, the same one until it is due
// for renewal.
func (k *Keeper) BundleSigner() (*Leaf, error) {
	return k.leaf("bundle", (*Authority).BundleSigner)
}

func (k *Keeper) leaf(key string, make func(*Authority, time.Time) (*Leaf, error)) (*Leaf, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return nil, ErrNotLoaded
	}
	now := k.o.Now()
	if l := k.leaves[key]; l != nil && !l.due(now) && k.current.signed(l.cert, now) {
		return l, nil
	}
	l, err := make(k.current, now)
	if err != nil {
		return nil, err
	}
	if len(k.leaves) >= maxLeaves { // forgetting them costs making those again that are in use
		clear(k.leaves)
	}
	k.leaves[key] = l
	return l, nil
}

// TLSConfig is for a server of those names. Each handshake shows the leaf that is
// current then, so that no restart and no lost call goes with a renewal.
func (k *Keeper) TLSConfig(names ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			l, err := k.Serving(names...)
			if err != nil {
				return nil, err
			}
			return l.TLS(), nil
		},
	}
}
