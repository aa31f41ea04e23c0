package ledger

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ConfigMapName is the ConfigMap in the operator's namespace that holds the log's state.
const ConfigMapName = "tidewaiter-log"

// The keys of the ConfigMap.
const (
	KeyCheckpoint = "checkpoint" // the signed note
	KeyBatch      = "batch"      // the object that a successor finishes from
	KeyOrigin     = "origin"     // of the log
	KeyVerifier   = "verifier"   // the log's public key: name+hash+key
	KeyRecording  = "recording"  // the public key of attestations: PEM
	KeyCosigned   = "cosigned"   // the last checkpoint with a quorum of witnesses
	KeyConditions = "conditions" // JSON
)

// ConfigMap is the Register in a cluster: the API server refuses an update that is not of the version that was read.
type ConfigMap struct {
	// Client must not read from a cache.
	Client    client.Client
	Namespace string
}

// Load implements Register.
func (c *ConfigMap) Load(ctx context.Context) (State, error) {
	var have corev1.ConfigMap
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: ConfigMapName}, &have)
	if apierrors.IsNotFound(err) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read ConfigMap %s/%s: %w", c.Namespace, ConfigMapName, err)
	}
	return stateOf(&have), nil
}

// Swap implements Register.
func (c *ConfigMap) Swap(ctx context.Context, old, next State) (State, error) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: c.Namespace, Name: ConfigMapName, ResourceVersion: old.version,
		Labels: map[string]string{"app.kubernetes.io/name": "tidewaiter"},
	}, Data: maps.Clone(next.Published)}
	if m.Data == nil {
		m.Data = make(map[string]string)
	}
	if len(next.Checkpoint) > 0 {
		m.Data[KeyCheckpoint], m.Data[KeyBatch] = string(next.Checkpoint), next.Batch
	}
	var err error
	if old.version == "" {
		err = c.Client.Create(ctx, m)
	} else {
		err = c.Client.Update(ctx, m)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return State{}, fmt.Errorf("ConfigMap %s/%s: %w", c.Namespace, ConfigMapName, ErrConflict)
	case err != nil:
		return State{}, fmt.Errorf("write ConfigMap %s/%s: %w", c.Namespace, ConfigMapName, err)
	}
	return stateOf(m), nil
}

func stateOf(m *corev1.ConfigMap) State {
	s := State{Batch: m.Data[KeyBatch], Published: maps.Clone(m.Data), version: m.ResourceVersion}
	if s.Published == nil {
		s.Published = make(map[string]string)
	}
	if text := m.Data[KeyCheckpoint]; text != "" {
		s.Checkpoint = []byte(text)
	}
	delete(s.Published, KeyCheckpoint)
	delete(s.Published, KeyBatch)
	return s
}
