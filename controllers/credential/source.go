package credential

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// watchTimeout ends a watch, so that a connection that died silently is found.
const watchTimeout = 5 * time.Minute

// Cluster is the Source of a cluster. Each Secret is listed and watched with the
// field selector metadata.name, which a Role with resourceNames allows.
type Cluster struct {
	Client kubernetes.Interface
}

// Watch lists, then watches, and begins again when either ends. Between failures it
// waits, at most 15 s: a Role that grants the Secret may come at any time.
func (c Cluster) Watch(ctx context.Context, ref Ref, tell func(State)) {
	backoff := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 6, Cap: 15 * time.Second}
	delay := backoff
	for ctx.Err() == nil {
		version, state, err := c.list(ctx, ref)
		if ctx.Err() != nil {
			return
		}
		if err == nil || terminal(err) {
			tell(state)
		}
		if err == nil {
			delay = backoff
			err = c.follow(ctx, ref, version, tell)
		}
		pause := 200 * time.Millisecond // after a watch that ended as it should
		if err != nil {
			pause = delay.Step()
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// terminal says that the answer stands until somebody changes something, other than
// a failure of the connection: what was read before then is still the best there is.
func terminal(err error) bool { return apierrors.IsForbidden(err) }

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c Cluster) list(ctx context.Context, ref Ref) (string, State, error) {
	list, err := c.Client.CoreV1().Secrets(ref.Namespace).List(ctx, metav1.ListOptions{FieldSelector: byName(ref), Limit: 2})
	if err != nil {
		return "", failed(ref, err), err
	}
	for i := range list.Items {
		if list.Items[i].Name == ref.Name {
			return list.ResourceVersion, there(&list.Items[i]), nil
		}
	}
	return list.ResourceVersion, missing(), nil
}

func byName(ref Ref) string {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, ref.Name).String()
}

// follow tells changes until the watch ends; an error asks for patience.
func (c Cluster) follow(ctx context.Context, ref Ref, version string, tell func(State)) error {
	seconds := int64(wait.Jitter(watchTimeout, 0.2).Seconds())
	w, err := c.Client.CoreV1().Secrets(ref.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: byName(ref), ResourceVersion: version, TimeoutSeconds: &seconds, AllowWatchBookmarks: true,
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			secret, ok := event.Object.(*corev1.Secret)
			switch {
			case event.Type == apiwatch.Error:
				return apierrors.FromObject(event.Object)
			case !ok || event.Type == apiwatch.Bookmark || secret.Name != ref.Name:
			case event.Type == apiwatch.Deleted:
				tell(missing())
			default:
				tell(there(secret))
			}
		}
	}
}

func there(secret *corev1.Secret) State {
	secret = secret.DeepCopy()
	secret.ManagedFields, secret.Annotations = nil, nil // the last-applied annotation holds the values again
	return State{Secret: secret}
}

func missing() State {
	return State{Err: &Error{Reason: ReasonNotFound, Message: "does not exist: create it, or correct the name"}}
}

func failed(ref Ref, err error) State {
	if apierrors.IsForbidden(err) {
		return State{Err: &Error{Reason: ReasonForbidden, Message: fmt.Sprintf(
			"may not be read by the operator: bind its service account to a Role in namespace %s that allows get, list and watch of the Secret %s",
			ref.Namespace, ref.Name)}}
	}
	return State{Err: &Error{Reason: ReasonPending, Message: "could not be read yet: " + string(apierrors.ReasonForError(err))}}
}
