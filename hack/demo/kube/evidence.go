package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidewaiter/tidewaiter/recording/store"
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
	const places = "objects.yaml log /proc/$SIDECAR/environ /proc/$SIDECAR/cmdline pods recordings events.jsonl"
	s.run(ctx, "kubectl get $(kubectl api-resources --namespaced --verbs=list -o name | paste -sd, -) -n shop \\\n  -o yaml --ignore-not-found --show-managed-fields >objects.yaml 2>/dev/null")
	s.run(ctx, "kubectl tidewaiter export -A --since 1h -o events.jsonl"+kept)
	s.run(ctx, "grep -E '^  kind: ' objects.yaml | sort | uniq -c; du -shL log pods recordings", "kind: ConfigMap", "kind: Pod", "kind: Session")
	s.run(ctx, "grep -rlFf passwords "+places+"; [ $? = 1 ] && echo found nowhere", "found nowhere")
	s.run(ctx, "grep -rlF data/orders "+places+" | \\\n  sed -E 's|^([^/]+)/.*|\\1|' | sort | uniq -c", "/cmdline", "1 log", "1 objects.yaml", "1 events.jsonl", "recordings")
}

// kept is how what the operator keeps is read here; in a cluster nothing need be said, for a port-forward finds the way.
const kept = " --recordings-url $READER"

func sessionIsReplayed(ctx context.Context, s *stage) {
	s.then(func() error {
		var found past
		_, err := until(ctx, "the recording is with the operator", func(ctx context.Context) (err error) {
			found, err = s.deniedSession(ctx)
			return err
		})
		if err != nil {
			return err
		}
		s.run(ctx, "kubectl tidewaiter sessions -n shop --since 1h --denied"+kept, found.Session)
		s.run(ctx, "kubectl tidewaiter replay -n shop "+found.Session+" --width 110"+kept, "shop/report-agent", "DENIED (guard Program)", "DENIED (no rule)", "revoked", "chain ok")
		s.run(ctx, "kubectl tidewaiter verify "+found.Session+kept, "verified", "1 session,")
		return errors.Join(s.err, s.allIsVerified(ctx), s.changesShow(ctx, found))
	})
}

// allIsVerified verifies the rest too. It is not shown: each session that was still to be shipped when the proxy was killed has a note.
func (s *stage) allIsVerified(ctx context.Context) error {
	out, exit, err := s.quietly(ctx, "kubectl tidewaiter verify --all"+kept)
	if err == nil && exit != 0 {
		err = fmt.Errorf("the exit code of verify --all is %d:\n%s", exit, out)
	}
	return err
}

// past is a session in the list of those that are kept.
type past struct {
	Session   string `json:"session"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
	End       string `json:"end"`
}

// deniedSession is the one that was denied program, once it is kept as a whole.
func (s *stage) deniedSession(ctx context.Context) (past, error) {
	var list struct {
		Sessions []past `json:"sessions"`
	}
	out, exit, err := s.quietly(ctx, "kubectl tidewaiter sessions -n shop --since 1h --denied -o json"+kept)
	if err == nil && exit != 0 {
		err = errors.New(string(out))
	}
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil {
		return past{}, err
	}
	for _, k := range list.Sessions {
		out, _, err := s.quietly(ctx, "kubectl tidewaiter replay -n shop "+k.Session+kept)
		if err != nil {
			return past{}, err
		}
		if k.End != "" && bytes.Contains(out, []byte("copy customers to program")) {
			return k, nil
		}
	}
	return past{}, fmt.Errorf("no session with the denied statement is kept:\n%s", out)
}

// changesShow changes one byte of a stored segment, as somebody could who has the store, and expects verify to find it out.
func (s *stage) changesShow(ctx context.Context, of past) error {
	segment := filepath.Join("recordings", store.Session{Namespace: of.Namespace, UID: of.UID, ID: of.Session}.Segment(1))
	before, err := os.ReadFile(s.path(segment))
	if err != nil {
		return err
	}
	at := len(before) - 100
	after := bytes.Clone(before)
	after[at] ^= 1
	s.paper.Remark(fmt.Sprintf("Somebody who has the store changes one byte, number %d, of %s.", at, segment))
	if err := os.WriteFile(s.path(segment), after, 0o600); err != nil {
		return err
	}
	s.fails(ctx, 2, "kubectl tidewaiter verify "+of.Session+kept, "Tampered", "ObjectChanged")
	return errors.Join(s.err, os.WriteFile(s.path(segment), before, 0o600))
}
