package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
)

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func passwordIsSearched(ctx context.Context, s *stage) error {
	const dump = "kubectl get $(kubectl api-resources --namespaced --verbs=list -o name | paste -sd,) \\\n  -n shop -o yaml --ignore-not-found --show-managed-fields >objects.yaml"
	const places = "objects.yaml log /proc/$SIDECAR/environ /proc/$SIDECAR/cmdline $PODS $RECORDINGS"
	return errors.Join(
		s.run(ctx, dump),
		s.fails(ctx, 1, "grep -rlFf passwords "+places+" || echo \"found nowhere\"; false", "found nowhere"),
	)
}

func sessionIsReplayed(ctx context.Context, s *stage) error {
	file, content, err := s.deniedSession()
	if err != nil {
		return err
	}
	if err := s.run(ctx, "kubectl tidewaiter replay --width 110 "+file, "shop/report-agent", "DENIED (guard Program)", "chain ok"); err != nil {
		return err
	}
	changed := s.path("changed.twr")
	innocent := bytes.Replace(content, []byte(program[:len("copy customers to program")]), []byte("copy customers to Program"), 1)
	if err := os.WriteFile(changed, innocent, 0o600); err != nil {
		return err
	}
	out, exit, err := s.quietly(ctx, "kubectl tidewaiter replay changed.twr")
	if err == nil && (exit == 0 || !bytes.Contains(out, []byte("BROKEN"))) {
		err = fmt.Errorf("a changed recording passes:\n%s", out)
	}
	return err
}

// deniedSession returns the recording that holds program.
func (s *stage) deniedSession() (file string, content []byte, err error) {
	err = filepath.WalkDir(s.cluster.Recordings, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || filepath.Ext(path) != ".twr" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := shop.Leak("the recording "+path, raw, s.passwords...); err != nil {
			return err
		}
		if bytes.Contains(raw, []byte("copy customers to program")) {
			file, content = path, raw
		}
		return nil
	})
	if err == nil && file == "" {
		err = errors.New("no recording holds the denied statement")
	}
	return file, content, err
}
