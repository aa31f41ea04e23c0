package operator

import (
	"context"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
)

// addDistribution adds the server for sidecars (lands with controllers/distribute).
func addDistribution(context.Context, manager.Manager, *Options, *authority.Keeper, *credential.Store, kubernetes.Interface) error {
	return nil
}
