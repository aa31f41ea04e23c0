package local

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

// bundleLifetime is how long a bundle may be decided by. Whoever compiles it is also who uses it, so there is nothing to
// lose touch with; it only has to outlive the process.
const bundleLifetime = 365 * 24 * time.Hour

// evaluationDeadline bounds one evaluation. It is long for a sidecar, since here the proxy shares its processors with the
// program behind it and whatever else runs on a laptop or in a test, and a deadline that is missed is a denial.
const evaluationDeadline = time.Second

// signer makes bundles with a key that never leaves the process.
type signer struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newSigner() (signer, error) {
	public, private, err := ed25519.GenerateKey(nil)
	return signer{public, private}, err
}

func (s signer) bundle(set *manifest.Set, ds *v1alpha1.DataSource, subject compile.Subject, revision uint64) ([]byte, error) {
	return compile.Bundle(compile.Input{
		DataSource: ds, Policies: set.Policies, Subject: subject, Revision: revision,
		NotAfter: time.Now().Add(bundleLifetime), Audience: compile.AudienceLocal, Key: s.private,
	})
}

// newGate returns a decider by the set's policies, at revision 1.
func (s signer) newGate(set *manifest.Set, ds *v1alpha1.DataSource, subject compile.Subject) (*datasource.Gate, error) {
	g := datasource.NewGate(policy.Options{PublicKey: s.public, Audience: compile.AudienceLocal, Deadline: evaluationDeadline})
	raw, err := s.bundle(set, ds, subject, 1)
	if err != nil {
		return nil, err
	}
	return g, g.Use(raw)
}

// bar refuses everything of a subject that may no longer attach.
func bar(g *datasource.Gate, dataSource string, subject compile.Subject) {
	g.Bar(fmt.Sprintf("Namespace %s may no longer attach to DataSource %s.", subject.Namespace, dataSource),
		fmt.Sprintf("Ask the owner of DataSource %s to select it in spec.allowedNamespaces.", dataSource))
}
