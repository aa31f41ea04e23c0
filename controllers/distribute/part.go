package distribute

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/authority"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
)

// policyVersion is one policy as it went into a bundle.
type policyVersion struct {
	name       string
	uid        types.UID
	generation int64
}

// part is one data source as a sidecar has been sent it, or will be. It does not
// change.
type part struct {
	message *sidecarv1alpha1.DataSource

	revision   uint64 // of the bundle
	generation int64  // of the DataSource
	policies   []policyVersion
	signer     *authority.Leaf
	notAfter   time.Time
	renewAt    time.Time

	// made from: what the bundle is made again from when the present policies do not
	// compile.
	ds       *v1alpha1.DataSource
	compiled []*v1alpha1.AccessPolicy
}

// factory makes parts.
type factory struct {
	authority *authority.Keeper
	lifetime  time.Duration
	now       func() time.Time
	// slots bound how many bundles are made at the same time.
	slots chan struct{}
}

// errKept says that a part was made from what it was made from before.
var errKept = errors.New("the policy before stays in force")

// build makes the part of a data source that is granted. Prev is what the sidecar
// has, or nil: its bundle is sent again if it would be the same. With errKept comes
// a part all the same.
func (f *factory) build(id identity, c claimed, prev *part, revision uint64, signer *authority.Leaf) (*part, error) {
	versions := versionsOf(c.policies)
	var next *part
	var err, kept error
	if prev != nil && prev.current(versions, c.ds, signer, f.now()) {
		same := *prev
		next = &same
	} else if next, err = f.compile(id, c.ds, c.policies, revision, signer); err != nil {
		if prev == nil {
			return nil, err
		}
		kept = fmt.Errorf("%w: %w", errKept, err)
		if next, err = f.again(id, prev, revision, signer); err != nil {
			return nil, err
		}
	}
	next.generation = c.ds.Generation
	next.message, err = f.message(id, c, next.message.GetBundle())
	if err != nil {
		return nil, err
	}
	if prev != nil && proto.Equal(prev.message, next.message) {
		next.message = prev.message
	}
	return next, kept
}

// current reports whether the bundle would be made again as it is.
func (p *part) current(versions []policyVersion, ds *v1alpha1.DataSource, signer *authority.Leaf, now time.Time) bool {
	return p.fresh(signer, now) && p.ds.UID == ds.UID && slices.Equal(p.policies, versions)
}

func (p *part) fresh(signer *authority.Leaf, now time.Time) bool {
	return p.signer == signer && now.Before(p.renewAt)
}

// again makes the bundle from what it was made from before, if it is due.
func (f *factory) again(id identity, prev *part, revision uint64, signer *authority.Leaf) (*part, error) {
	if prev.fresh(signer, f.now()) {
		same := *prev
		return &same, nil
	}
	return f.compile(id, prev.ds, prev.compiled, revision, signer)
}

// compile makes a part with a new bundle. A defect of the compiler that somebody's policy
// has found is theirs: it must not end the process, which would meet it again at each
// start, for everybody.
func (f *factory) compile(id identity, ds *v1alpha1.DataSource, policies []*v1alpha1.AccessPolicy, revision uint64, signer *authority.Leaf) (p *part, err error) {
	defer func() {
		if value := recover(); value != nil { // which may quote a policy, and goes nowhere
			p, err = nil, errors.New("the compiler failed on its AccessPolicies: ask whoever runs Tidewaiter to report that")
		}
	}()
	key, ok := signer.Key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("distribute: the bundle signer has no Ed25519 key")
	}
	f.slots <- struct{}{}
	defer func() { <-f.slots }()
	now := f.now()
	// Not all sidecars are to be renewed at the same time.
	lifetime := f.lifetime - rand.N(f.lifetime/8+1)
	notAfter := now.Add(lifetime)
	if notAfter.After(signer.NotAfter) {
		notAfter = signer.NotAfter
	}
	in := compile.Input{
		DataSource: ds, Subject: subjectOf(id), Revision: revision, NotAfter: notAfter,
		Audience: string(id.pod.UID), Key: key,
	}
	for _, p := range policies {
		in.Policies = append(in.Policies, *p)
	}
	bundle, err := compile.Bundle(in)
	if err != nil {
		return nil, err
	}
	return &part{
		message:  &sidecarv1alpha1.DataSource{Bundle: bundle},
		revision: revision, policies: versionsOf(policies), signer: signer,
		notAfter: notAfter, renewAt: now.Add(notAfter.Sub(now) / 2), ds: ds, compiled: policies,
	}, nil
}

func versionsOf(policies []*v1alpha1.AccessPolicy) []policyVersion {
	out := make([]policyVersion, len(policies))
	for i, p := range policies {
		out[i] = policyVersion{p.Name, p.UID, p.Generation}
	}
	return out
}
