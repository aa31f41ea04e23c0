package ledger

import (
	"cmp"
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// SetUpOptions say where an operator's log is.
type SetUpOptions struct {
	// Namespace of the operator: of the Secret with the keys and the ConfigMap with the state.
	Namespace string
	// Objects is the store.
	Objects ledger.Objects
	// Origin of a log that is begun; left out, it is made of the cluster's identity. One that there is keeps its own.
	Origin string
	// Mirror, MirrorAll and Quorum are as Options have them; Witnesses are as ParseWitness reads them.
	Mirror    ledger.Objects
	MirrorAll bool
	Witnesses []string
	Quorum    int

	Registerer prometheus.Registerer
}

// Log is what the rest of the operator has of the log.
type Log struct {
	Appender
	// Keys are the log's, and the one that attestations are signed with.
	Keys *Keys
}

// SetUp runs the sequencer in a manager, on the leader. It reads the keys, or makes them, before it returns.
func SetUp(ctx context.Context, mgr manager.Manager, o *SetUpOptions) (*Log, error) {
	direct, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	origin, err := originOf(ctx, direct, o.Origin)
	if err != nil {
		return nil, err
	}
	keys, err := LoadKeys(ctx, direct, o.Namespace, origin)
	if err != nil {
		return nil, err
	}
	if name := keys.Verifier.Name(); o.Origin != "" && name != o.Origin {
		return nil, fmt.Errorf("--log-origin %q: the log's key is of %q: leave the flag out, or begin a log with a new Secret %s and a new store", o.Origin, name, SecretName)
	}
	options := Options{
		Objects: o.Objects, Register: &ConfigMap{Client: direct, Namespace: o.Namespace}, Keys: keys,
		Mirror: o.Mirror, MirrorAll: o.MirrorAll, Quorum: o.Quorum,
		Ended: EndedPods(mgr.GetClient(), direct), Log: mgr.GetLogger().WithName("log-of-recordings"), Registerer: o.Registerer,
	}
	for _, text := range o.Witnesses {
		w, err := ParseWitness(text)
		if err != nil {
			return nil, err
		}
		options.Witnesses = append(options.Witnesses, w)
	}
	s, err := New(options)
	if err != nil {
		return nil, err
	}
	return &Log{Appender: Appender{Objects: o.Objects}, Keys: keys}, mgr.Add(s)
}

// originOf is the flag's, or of the namespace that every cluster has, and which lives as long as the cluster.
func originOf(ctx context.Context, direct client.Reader, flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	const namespace = "kube-system"
	var of corev1.Namespace
	if err := direct.Get(ctx, client.ObjectKey{Name: namespace}, &of); err != nil {
		return "", fmt.Errorf("the origin of the log: read Namespace %s: %w: set --log-origin", namespace, err)
	}
	return ledger.Origin(cmp.Or(string(of.UID), namespace)), nil
}
