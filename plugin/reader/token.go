package reader

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
)

// tokenLife is how long a token is good for, the shortest that API servers give; another is asked for when less than tokenSpare is left.
const (
	tokenLife  = 10 * time.Minute
	tokenSpare = 2 * time.Minute
)

// tokens are those of a service account, made by the API server one after the other. A token is held in memory only.
type tokens struct {
	kube               kubernetes.Interface
	namespace, account string
	flag               string // by which people choose it
	now                func() time.Time

	mu      sync.Mutex
	token   string
	expires time.Time
}

// get returns a token that is good for a while.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && t.now().Add(tokenSpare).Before(t.expires) {
		return t.token, nil
	}
	seconds := int64(tokenLife / time.Second)
	answer, err := t.kube.CoreV1().ServiceAccounts(t.namespace).CreateToken(ctx, t.account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{wire.Audience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	who := t.namespace + "/" + t.account
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("there is no service account %s to read as: name another with %s: %w", who, t.flag, err)
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("you may not make tokens for service account %s: ask for a RoleBinding in namespace %s to Role %s, or name an account of yours with %s: %w",
			who, t.namespace, t.account, t.flag, err)
	case err != nil:
		return "", fmt.Errorf("asking the API server for a token of service account %s: %w", who, err)
	}
	t.token, t.expires = answer.Status.Token, answer.Status.ExpirationTimestamp.Time
	return t.token, nil
}

// drop forgets a token that was not taken.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}
