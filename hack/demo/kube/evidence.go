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

// shapes are passwords as they are and as a Secret has them.
func shapes(passwords []string) []string {
	var out []string
	for _, p := range passwords {
		out = append(out, p, base64.StdEncoding.EncodeToString([]byte(p)))
	}
	return out
}

func passwordIsSearched(ctx context.Context, s *stage) {
	const places = "objects.yaml log /proc/$SIDECAR/environ /proc/$SIDECAR/cmdline pods recordings"
	s.run(ctx, "kubectl get $(kubectl api-resources --namespaced --verbs=list -o name | paste -sd, -) -n shop \\\n  -o yaml --ignore-not-found --show-managed-fields >objects.yaml 2>/dev/null")
	s.run(ctx, "grep -E '^  kind: ' objects.yaml | sort | uniq -c; du -shL log pods recordings", "kind: ConfigMap", "kind: Pod", "kind: Session")
	s.run(ctx, "grep -rlFf passwords "+places+" || echo found nowhere", "found nowhere")
	s.run(ctx, "grep -rlF data/orders "+places+" | \\\n  sed -E 's|^([^/]+)/.*|\\1|' | sort | uniq -c", "/cmdline", "1 log", "1 objects.yaml", "recordings")
}

func sessionIsReplayed(ctx context.Context, s *stage) {
	s.then(func() error {
		file, content, err := s.deniedSession()
		if err != nil {
			return err
		}
		s.run(ctx, "kubectl tidewaiter replay --width 110 "+file, "shop/report-agent", "DENIED (guard Program)", "DENIED (no rule)", "revoked", "chain ok")
		return errors.Join(s.err, s.changesShow(ctx, content))
	})
}

// changesShow changes one letter of a recording and expects replay to find it out.
func (s *stage) changesShow(ctx context.Context, content []byte) error {
	innocent := bytes.Replace(content, []byte("copy customers to program"), []byte("copy customers to Program"), 1)
	if err := os.WriteFile(s.path("changed.twr"), innocent, 0o600); err != nil {
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
	err = filepath.WalkDir(s.path("recordings")+"/", func(path string, entry os.DirEntry, err error) error {
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
			file, err = filepath.Rel(s.dir, path)
			content = raw
		}
		return err
	})
	if err == nil && file == "" {
		err = errors.New("no recording holds the denied statement")
	}
	return file, content, err
}
