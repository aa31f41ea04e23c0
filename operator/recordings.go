package operator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	// The services that a key of --recordings-key may be in.
	_ "gocloud.dev/secrets/awskms"
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/ledger"
	"github.com/tidewaiter/tidewaiter/controllers/recordings"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Secrets in the operator's namespace that it makes itself.
const (
	// RecordingsKeySecret has the key that sessions' keys are wrapped by, where --recordings-key names none.
	RecordingsKeySecret = "tidewaiter-recordings-key"
)

// seedKey is where each of them has its 32 random bytes.
const seedKey = "seed"

// openTime bounds what is asked of the store and of a key service before the operator serves.
const openTime = 2 * time.Minute

// addRecordings opens the store of recordings and adds what sweeps it, and who serves it to auditors. It is nil where none was asked for. What was asked for and
// cannot be had ends the operator: recordings that are kept otherwise than was said would look as if they were.
func addRecordings(ctx context.Context, mgr manager.Manager, o *Options, keeper *authority.Keeper, clientset kubernetes.Interface) (*recordings.Store, error) {
	if err := o.LogOfRecordings.check(o.Recordings); err != nil || o.Recordings == "" {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	bucket, err := store.Create(ctx, o.Recordings)
	if err != nil {
		return nil, fmt.Errorf("--recordings: %w", err)
	}
	if err := bucket.SetLock(ctx, o.RecordingsLock); err != nil {
		return nil, fmt.Errorf("--recordings-lock: %w", err)
	}
	own := clientset.CoreV1().Secrets(o.Namespace)
	wrapper, err := openWrapper(ctx, own, o.RecordingsKey)
	if err != nil {
		return nil, fmt.Errorf("--recordings-key: %w", err)
	}
	log, err := addLog(ctx, mgr, o, bucket)
	if err != nil {
		return nil, err
	}
	kept, err := recordings.New(ctx, recordings.Options{
		Bucket: bucket, Wrapper: wrapper, Key: log.Keys.Recording, Log: log,
		Retention: retention{reader: mgr.GetClient(), usual: o.RecordingsRetention},
		Ended:     ledger.EndedPods(mgr.GetClient(), mgr.GetAPIReader()),
		Limits:    recordingLimits(o, bucket.IsFolder()), Logger: o.Log.WithName("recordings"),
	})
	if err != nil {
		return nil, fmt.Errorf("--recordings: %w", err)
	}
	return kept, errors.Join(mgr.Add(kept), mgr.Add(recordings.Sweeper{Store: kept}), addAudit(mgr, o, keeper, clientset, bucket, eraser{kept}))
}

// recordingLimits keeps a folder's volume from being filled; an object store has no end unless one was set.
func recordingLimits(o *Options, folder bool) recordings.Limits {
	limit := o.RecordingsLimit
	if limit == 0 && folder {
		limit = 8 << 30
	}
	if limit == 0 {
		return recordings.Limits{Total: -1, Pod: 64 << 30, File: 16 << 30}
	}
	return recordings.Limits{Total: limit, Pod: limit / 8, File: min(1<<30, limit/8)}
}

// openWrapper opens what wraps sessions' keys: a key service's key by its URL, or one in a Secret.
func openWrapper(ctx context.Context, own corev1client.SecretInterface, where string) (store.Wrapper, error) {
	if where == "" {
		seed, err := loadSeed(ctx, own, RecordingsKeySecret)
		if err != nil {
			return nil, err
		}
		return localsecrets.NewKeeper([32]byte(seed)), nil
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, errors.New("the URL cannot be read: write it as awskms://…, gcpkms://… or azurekeyvault://…") // err quotes it
	}
	if u.Scheme == localsecrets.Scheme || u.Scheme == "stringkey" {
		return nil, fmt.Errorf("a key in the URL would show in the pod's arguments: put 32 bytes into the Secret %s, as %s, and leave the flag out", RecordingsKeySecret, seedKey)
	}
	keeper, err := secrets.OpenKeeper(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("opening the key %s://%s: %w", u.Scheme, u.Host, err)
	}
	// Whether it can be used shows now, not with the first session.
	probe, err := keeper.Encrypt(ctx, []byte("tidewaiter"))
	if err == nil {
		_, err = keeper.Decrypt(ctx, probe)
	}
	if err != nil {
		return nil, fmt.Errorf("the key %s://%s cannot encrypt and decrypt: %w", u.Scheme, u.Host, err)
	}
	return keeper, nil
}

// loadSeed reads the 32 random bytes of a Secret, and makes it if there is none. Of replicas that do so at the same time the API server
// lets one win.
func loadSeed(ctx context.Context, own corev1client.SecretInterface, name string) ([]byte, error) {
	const attempts = 3
	for range attempts {
		found, err := own.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			if seed := found.Data[seedKey]; len(seed) == ed25519.SeedSize {
				return seed, nil
			}
			return nil, fmt.Errorf("Secret %s/%s: %s must have %d bytes: restore it from a backup", found.Namespace, name, seedKey, ed25519.SeedSize)
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("Secret %s: %w", name, err)
		}
		seed := make([]byte, ed25519.SeedSize)
		if _, err := rand.Read(seed); err != nil {
			return nil, err
		}
		_, err = own.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "tidewaiter"}},
			Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{seedKey: seed},
		}, metav1.CreateOptions{})
		if err == nil {
			return seed, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("Secret %s: %w", name, err)
		}
	}
	return nil, fmt.Errorf("Secret %s: it comes and goes: look who deletes it", name)
}

// retention is what DataSources say, else what the flag does.
type retention struct {
	reader client.Reader // the cache
	usual  time.Duration
}

// Of returns a data source's retention. One that is gone had no other than the usual, as far as can be known.
func (r retention) Of(ctx context.Context, dataSource string) (time.Duration, error) {
	namespace, name, ok := strings.Cut(dataSource, "/")
	if !ok {
		return r.usual, nil
	}
	var ds v1alpha1.DataSource
	err := r.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &ds)
	switch {
	case apierrors.IsNotFound(err):
		return r.usual, nil
	case err != nil:
		return 0, err
	}
	return r.spec(&ds), nil
}

func (r retention) spec(ds *v1alpha1.DataSource) time.Duration {
	if own := ds.Spec.Recording.Retention; own != nil && own.Duration > 0 {
		return own.Duration
	}
	return r.usual
}

// Shortest of all data sources' retentions.
func (r retention) Shortest(ctx context.Context) (time.Duration, error) {
	var list v1alpha1.DataSourceList
	if err := r.reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return 0, err
	}
	shortest := r.usual
	for i := range list.Items {
		if d := r.spec(&list.Items[i]); d > 0 && (shortest <= 0 || d < shortest) {
			shortest = d
		}
	}
	return shortest, nil
}
