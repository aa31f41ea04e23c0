package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/controllers/ledger"
	format "github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

func TestABucketDoesWhatTheLogNeeds(t *testing.T) {
	b := inFolder(t, t.TempDir())
	if _, err := b.Get(t.Context(), "log/checkpoint"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	for _, name := range []string{"log/tile/0/001", "log/tile/0/001.p/7", "log/tile/0/000", "log/checkpoint"} {
		if err := b.Put(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
		if data, err := b.Get(t.Context(), name); err != nil || string(data) != name {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	var names []string
	for name, err := range b.List(t.Context(), "log/tile/0/0") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if want := []string{"log/tile/0/000", "log/tile/0/001", "log/tile/0/001.p/7"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
	for range 2 {
		if err := b.Delete(t.Context(), "log/checkpoint"); err != nil {
			t.Error(err)
		}
	}
}

// inFolder is a folder as the log needs it.
func inFolder(t *testing.T, folder string) objects {
	t.Helper()
	b, err := store.Create(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	return objects{b}
}

func TestFlagsOfTheLogThatCannotBeMeantAreRefused(t *testing.T) {
	for want, o := range map[string]*Options{
		"set --recordings": {LogOfRecordings: LogOptions{Quorum: 1}},
		"set --log-mirror": {Recordings: t.TempDir(), LogOfRecordings: LogOptions{MirrorAll: true}},
	} {
		if err := o.LogOfRecordings.check(o.Recordings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if err := (&LogOptions{}).check(""); err != nil {
		t.Errorf("without recordings there is nothing to log: %v", err)
	}
}

// Two replicas with the operator's own rights and one folder: what either is given is in one log, which the ConfigMap's key
// verifies, and goes on when the first of them ends.
func TestReplicasKeepOneLogInTheFolderOfRecordings(t *testing.T) {
	server, folder := installed(t), t.TempDir()
	c := admin(t, server)
	kept := func(o *Options) { o.Recordings = folder }
	first := run(t, asOperator(t, server), "op-0", kept)
	run(t, asOperator(t, server), "op-1", kept)
	b := inFolder(t, folder)
	a := &ledger.Appender{Objects: b}
	for n := range int64(4) {
		leaf := &format.Leaf{Kind: format.KindGone, Pod: format.Pod{Namespace: "data", UID: "uid"}, Gone: ledger.GoneDeleted}
		if err := a.Append(t.Context(), leaf); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the leaf is in the log", func(context.Context) error {
			var state corev1.ConfigMap
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: ledger.ConfigMapName}, &state); err != nil {
				return err
			}
			key, err := format.NewVerifier(state.Data[ledger.KeyVerifier])
			if err != nil {
				return err
			}
			signed, err := b.Get(t.Context(), format.CheckpointName)
			if err != nil {
				return err
			}
			at, err := format.ParseCheckpoint(signed, state.Data[ledger.KeyOrigin], key)
			if err != nil {
				return err
			}
			if at.Tree.N != n+1 {
				return fmt.Errorf("%d leaves", at.Tree.N)
			}
			return format.NewReader(b, &at).Verify(t.Context(), nil)
		})
		if n == 1 {
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
