package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// FieldOwner of what is written to Sessions, the same for all replicas: whoever
// takes a stream over owns what the one before wrote.
const FieldOwner = "tidewaiter-operator"

// outcome of one write.
type outcome struct {
	result string // label of the metric
	name   string // of the object
	err    error
	wait   time.Duration // before the next attempt
	forget bool          // the object is gone
}

// Results, as the metric calls them.
const (
	resultWritten = "Written"
	resultFailed  = "Failed"
	resultGone    = "Gone"
	resultCapped  = "NamespaceFull"
)

// errNamespaceFull says that the cap of Sessions in a namespace is reached.
var errNamespaceFull = errors.New("the namespace holds as many Sessions as it may")

// put creates the object if need be, and applies the status.
func (w *Writer) put(ctx context.Context, j job) outcome {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	name := j.e.name
	if name == "" {
		var err error
		if name, err = w.create(ctx, j.e.who); err != nil {
			return w.failure(j, err)
		}
	}
	if err := apply(ctx, w.o.Client, j.e.who, name, j.status); err != nil {
		return w.failure(j, err)
	}
	return outcome{result: resultWritten, name: name}
}

func (w *Writer) failure(j job, err error) outcome {
	switch {
	case errors.Is(err, errNamespaceFull):
		return outcome{result: resultCapped, err: err, wait: time.Minute, forget: true}
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // deleted, or another pod's by now
		return outcome{result: resultGone, err: err, forget: true}
	}
	w.o.Log.Error(err, "a Session could not be written", "namespace", j.e.who.Namespace, "pod", j.e.who.Pod, "dataSource", j.e.who.DataSource.String())
	return outcome{result: resultFailed, err: err}
}

// create makes the object and returns its name. One that is there already is
// another replica's or an earlier pod's of the same name.
func (w *Writer) create(ctx context.Context, who Who) (string, error) {
	if !w.cap.take(ctx, who.Namespace) {
		return "", errNamespaceFull
	}
	for _, name := range []string{who.Name(), who.longName()} {
		object := who.object(name)
		err := w.o.Client.Create(ctx, object)
		if err == nil {
			return name, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("create Session: %w", err)
		}
		w.cap.give(who.Namespace)
		mine, err := w.claim(ctx, who, object)
		if mine || err != nil {
			return name, err
		}
	}
	return "", fmt.Errorf("both names of the Session of %s and %s are taken by others", who.Pod, who.DataSource)
}

// claim looks at the object that has the name. An earlier pod's is removed: its
// owner is gone, and only the garbage collector has not come by yet.
func (w *Writer) claim(ctx context.Context, who Who, object *v1alpha1.Session) (mine bool, err error) {
	var found v1alpha1.Session
	if err := w.o.Client.Get(ctx, client.ObjectKeyFromObject(object), &found); err != nil {
		// The cache may not have it yet: it is not found now and at the next attempt it is.
		return false, fmt.Errorf("read Session: %w", notGone(err))
	}
	switch {
	case who.about(&found):
		return true, nil
	case found.Spec.Pod.UID == string(who.UID): // another DataSource of this name
		return false, nil
	}
	uid := found.UID
	err = w.o.Client.Delete(ctx, &found, client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete the Session of an earlier pod: %w", err)
	}
	return true, w.o.Client.Create(ctx, who.object(object.Name))
}

// notGone keeps a cache that is behind from looking like an object that is gone.
func notGone(err error) error {
	if apierrors.IsNotFound(err) {
		return errors.New("not in the cache yet")
	}
	return err
}

// apply writes the whole status by server-side apply.
func apply(ctx context.Context, c client.Client, who Who, name string, status v1alpha1.SessionStatus) error {
	s := who.object(name)
	s.Status = status
	fit(s)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s.Status)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Session"))
	u.SetNamespace(who.Namespace)
	u.SetName(name)
	return c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
}

func metaTime(t time.Time) *metav1.Time {
	m := metav1.NewTime(t.Truncate(time.Second)) // as it is stored
	return &m
}

// inCache is a Session as the cache has it; nil if it has none.
type inCache struct{ *v1alpha1.Session }

func (w *Writer) cached(e *entry) inCache {
	name := e.name
	if name == "" {
		name = e.who.Name()
	}
	var s v1alpha1.Session
	k := types.NamespacedName{Namespace: e.who.Namespace, Name: name}
	if err := w.o.Client.Get(context.Background(), k, &s); err != nil || !e.who.about(&s) {
		return inCache{}
	}
	return inCache{&s}
}

// mine reports whether it is still as this replica wrote it.
func (c inCache) mine(replica string, state v1alpha1.SessionState) bool {
	return c.Session != nil && c.Status.Replica == replica && c.Status.State == state
}

// elsewhere reports whether another replica writes it by now.
func (c inCache) elsewhere(replica string) bool {
	return c.Session == nil || (c.Status.Replica != "" && c.Status.Replica != replica)
}
