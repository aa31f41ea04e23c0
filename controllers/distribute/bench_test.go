package distribute

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
)

// BenchmarkPart is what one sidecar costs when a policy changes.
func BenchmarkPart(b *testing.B) {
	keeper := authority.NewKeeper(authority.KeeperOptions{Client: fake.NewClientBuilder().Build(), Namespace: "n"})
	if err := keeper.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	f := &factory{authority: keeper, lifetime: time.Hour, now: time.Now, slots: make(chan struct{}, compilers)}
	signer, err := keeper.BundleSigner()
	if err != nil {
		b.Fatal(err)
	}
	id := identity{
		pod:       &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "report", UID: "u"}},
		namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "shop"}}},
	}
	ds, policies := example()
	c := claimed{
		name: types.NamespacedName{Namespace: "data", Name: "orders"}, verdict: grant, ds: ds, policies: policies,
		material: credential.Material{Username: "u", Password: "p"},
	}
	for revision := uint64(1); b.Loop(); revision++ {
		if _, err := f.build(id, c, nil, revision, signer); err != nil {
			b.Fatal(err)
		}
	}
}

func example() (*v1alpha1.DataSource, []*v1alpha1.AccessPolicy) {
	ds := &v1alpha1.DataSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders", UID: "d", Generation: 1},
		Spec: v1alpha1.DataSourceSpec{
			Protocol:          v1alpha1.ProtocolPostgres,
			Postgres:          &v1alpha1.PostgresSource{Host: "orders-db.data.svc", Port: 5432, Database: "orders"},
			Credentials:       v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "orders-db"}},
			AllowedNamespaces: v1alpha1.AllowedNamespaces{Selector: &v1alpha1.LabelSelector{}},
			Listen:            v1alpha1.Listen{Port: 5432},
		},
	}
	var policies []*v1alpha1.AccessPolicy
	for _, name := range []string{"a", "b"} {
		policies = append(policies, &v1alpha1.AccessPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: name, UID: types.UID("p" + name), Generation: 1},
			Spec: v1alpha1.AccessPolicySpec{
				DataSources: []v1alpha1.DataSourceReference{{Name: "orders"}},
				Subjects:    []v1alpha1.Subject{{NamespaceSelector: &v1alpha1.LabelSelector{}}},
				Rules: []v1alpha1.Rule{
					{Name: "read", Action: v1alpha1.ActionAllow, Statements: []v1alpha1.StatementClass{"Select"}, Tables: []v1alpha1.TablePattern{"*.*"}},
				},
				Masks: []v1alpha1.Mask{{Tags: []v1alpha1.TagPattern{"*"}, Strategy: v1alpha1.MaskHash}},
			},
		})
	}
	return ds, policies
}
