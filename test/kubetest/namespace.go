package kubetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// NewNamespace makes a namespace of its own for a test, with labels, and deletes it and everything in it after the test. It
// returns the namespace's name.
func (s *Server) NewNamespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	name, err := s.createNamespace(t.Context(), metav1.ObjectMeta{GenerateName: "test-", Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DeleteNamespace(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return name
}

// CreateNamespace makes a namespace, with its default service account when it returns.
func (s *Server) CreateNamespace(ctx context.Context, name string, labels map[string]string) error {
	_, err := s.createNamespace(ctx, metav1.ObjectMeta{Name: name, Labels: labels})
	return err
}

func (s *Server) createNamespace(ctx context.Context, meta metav1.ObjectMeta) (string, error) {
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		return "", err
	}
	namespace, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("creating a namespace: %w", err)
	}
	// The accountant would do it too, but the caller goes on at once.
	return namespace.Name, createAccount(ctx, client, namespace.Name)
}

// DeleteNamespace deletes a namespace and everything in it, in the place of the namespace controller. When it returns, both are
// gone, except for objects with finalizers of their own.
func (s *Server) DeleteNamespace(ctx context.Context, name string) error {
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		return err
	}
	// First, so that nothing new is made in it.
	err = client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting namespace %s: %w", name, err)
	}
	if err := s.empty(ctx, client.Discovery(), name); err != nil {
		return err
	}
	namespace, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	namespace.Spec.Finalizers = nil
	_, err = client.CoreV1().Namespaces().Finalize(ctx, namespace, metav1.UpdateOptions{})
	return err
}

// empty deletes all objects of all kinds in a namespace, at once.
func (s *Server) empty(ctx context.Context, kinds discovery.DiscoveryInterface, namespace string) error {
	config := rest.CopyConfig(s.Config)
	config.WarningHandler = rest.NoWarnings{} // of old kinds, which nobody here chose
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	lists, err := kinds.ServerPreferredNamespacedResources()
	if err != nil {
		return fmt.Errorf("asking for the kinds of objects: %w", err)
	}
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	var failed []error
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return err
		}
		for i := range list.APIResources {
			resource := &list.APIResources[i]
			if !slices.Contains(resource.Verbs, "deletecollection") || strings.Contains(resource.Name, "/") {
				continue
			}
			err := client.Resource(version.WithResource(resource.Name)).Namespace(namespace).DeleteCollection(ctx, now, metav1.ListOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				failed = append(failed, fmt.Errorf("deleting %s in namespace %s: %w", resource.Name, namespace, err))
			}
		}
	}
	return errors.Join(failed...)
}
