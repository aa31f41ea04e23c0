package kubetest

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// defaultAccount is the service account that every namespace has, and that Pods use which name none.
const defaultAccount = "default"

// accountant makes the default service account of every namespace, in the place of the controller that does so in a cluster:
// without it, the server refuses Pods.
type accountant struct {
	stop func()
}

// startAccountant returns when the namespaces that are there have their account.
func startAccountant(config *rest.Config) (*accountant, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory := informers.NewSharedInformerFactory(client, 0)
	handled, err := factory.Core().V1().Namespaces().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			// A namespace that is gone again needs none. Of any other failure the first Pod tells, which is refused.
			_ = createAccount(ctx, client, object.(*corev1.Namespace).Name)
		},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handled.HasSynced) {
		cancel()
		return nil, fmt.Errorf("listing the namespaces: %w", ctx.Err())
	}
	return &accountant{stop: sync.OnceFunc(func() { cancel(); factory.Shutdown() })}, nil
}

func createAccount(ctx context.Context, client kubernetes.Interface, namespace string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: defaultAccount}}
	_, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the default service account of namespace %s: %w", namespace, err)
	}
	return nil
}
