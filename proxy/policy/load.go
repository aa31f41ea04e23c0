package policy

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

const (
	// keyID and algorithm are fixed, so that a bundle cannot choose how it is
	// verified.
	keyID     = "tidewaiter"
	algorithm = "EdDSA"

	// maxBundle bounds what is read, compressed and each file in it, in bytes.
	maxBundle = 8 << 20

	// query is the question that decides. maskQuery asks beforehand what is done to
	// values of some tags, which decides nothing.
	query     = "data.tidewaiter.decision"
	maskQuery = "data.tidewaiter.masks"

	// DefaultDeadline bounds one evaluation.
	DefaultDeadline = 250 * time.Millisecond

	// DefaultCacheSize bounds the decisions kept for one bundle.
	DefaultCacheSize = 8192
)

// Errors of Load and Decider.Use, to be told apart with errors.Is.
var (
	ErrAudience = errors.New("policy: the bundle is for another audience")
	ErrRevision = errors.New("policy: the bundle's revision is lower than the one in force")
	ErrExpired  = errors.New("policy: the bundle is past its time")
	// ErrSubject is for a bundle that is about another data source.
	ErrSubject = errors.New("policy: the bundle is about another data source")
	// ErrUnsigned is for a bundle without a signature, ErrUnread for one that its
	// signature does not fit, or that is no bundle.
	ErrUnsigned = errors.New("policy: the bundle is not signed")
	ErrUnread   = errors.New("policy: the bundle cannot be read")
)

// Options say whose bundles are believed.
type Options struct {
	// PublicKey verifies the signature. There are no unsigned bundles: without a
	// key here, each has to come with its own (Decider.Load).
	PublicKey ed25519.PublicKey
	// DataSource that bundles have to be about, "namespace/name"; empty: any.
	DataSource string
	// Audience is the pod's UID, or "local". Required.
	Audience string
	// MinRevision is the lowest revision that is taken.
	MinRevision uint64
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Deadline bounds one evaluation; 0 is DefaultDeadline.
	Deadline time.Duration
	// CacheSize is how many decisions are kept; 0 is DefaultCacheSize.
	CacheSize int
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Deadline <= 0 {
		o.Deadline = DefaultDeadline
	}
	if o.CacheSize <= 0 {
		o.CacheSize = DefaultCacheSize
	}
	return o
}

// claims are what a bundle's manifest says of itself.
type claims struct {
	revision   uint64
	audience   string
	dataSource string
	notAfter   time.Time
}

// Load verifies a bundle (tar.gz) and prepares it for evaluation. An error means
// that nothing in the bundle may be used.
func Load(raw []byte, o Options) (*Engine, error) {
	o = o.withDefaults()
	b, err := read(raw, o.PublicKey)
	if err != nil {
		return nil, err
	}
	c, err := claimsOf(&b.Manifest)
	if err != nil {
		return nil, err
	}
	if err := c.acceptable(o); err != nil {
		return nil, err
	}
	queries, compiler, err := prepare(b, query, maskQuery)
	if err != nil {
		return nil, fmt.Errorf("policy: the bundle does not compile: %w", err)
	}
	return &Engine{query: queries[0], maskQuery: queries[1], blind: blindOf(compiler.Modules), estimates: wantsEstimates(compiler.Modules), claims: c, options: o, cache: newCache(o.CacheSize)}, nil
}

// prepare compiles what a bundle holds. The data is converted once, here, and
// not at each decision, which makes decisions about twice as fast.
func prepare(b *bundle.Bundle, queries ...string) ([]rego.PreparedEvalQuery, *ast.Compiler, error) {
	compiler := ast.NewCompiler().WithCapabilities(Capabilities())
	if compiler.Compile(b.ParsedModules("tidewaiter")); compiler.Failed() {
		return nil, nil, compiler.Errors
	}
	store := inmem.NewFromObjectWithOpts(b.Data, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))
	var prepared []rego.PreparedEvalQuery
	for _, q := range queries {
		p, err := rego.New(
			rego.Query(q),
			rego.Compiler(compiler),
			rego.Store(store),
			rego.Capabilities(Capabilities()),
			rego.StrictBuiltinErrors(true),
		).PrepareForEval(context.Background())
		if err != nil {
			return nil, nil, err
		}
		prepared = append(prepared, p)
	}
	return prepared, compiler, nil
}

func read(raw []byte, key ed25519.PublicKey) (*bundle.Bundle, error) {
	if len(raw) > maxBundle {
		return nil, fmt.Errorf("policy: the bundle is larger than %d bytes", maxBundle)
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, errors.New("policy: there is no key to verify bundles with")
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("policy: verification key: %w", err)
	}
	keys := map[string]*bundle.KeyConfig{keyID: {
		Key:       string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		Algorithm: algorithm,
	}}
	b, err := bundle.NewReader(bytes.NewReader(raw)).
		WithBundleVerificationConfig(bundle.NewVerificationConfig(keys, keyID, "", nil)).
		WithCapabilities(Capabilities()).
		WithSizeLimitBytes(maxBundle).
		Read()
	if err != nil {
		return nil, unread(err)
	}
	if b.Type() != bundle.SnapshotBundleType || len(b.WasmModules) > 0 || len(b.PlanModules) > 0 {
		return nil, errors.New("policy: the bundle holds more than Rego and data")
	}
	return &b, nil
}

// unread tells a bundle that nobody signed from one that was altered, or signed by
// somebody else. OPA has no error value for it (v1/bundle, Reader.Read).
func unread(err error) error {
	if strings.Contains(err.Error(), "missing .signatures.json") {
		return ErrUnsigned
	}
	return fmt.Errorf("%w: %w", ErrUnread, err)
}

func claimsOf(m *bundle.Manifest) (claims, error) {
	var c claims
	var err error
	if c.revision, err = strconv.ParseUint(m.Revision, 10, 64); err != nil {
		return claims{}, fmt.Errorf("policy: the bundle's revision %q is not a number", m.Revision)
	}
	c.audience, _ = m.Metadata["audience"].(string)
	c.dataSource, _ = m.Metadata["dataSource"].(string)
	notAfter, _ := m.Metadata["notAfter"].(string)
	if c.notAfter, err = time.Parse(time.RFC3339, notAfter); err != nil {
		return claims{}, fmt.Errorf("policy: the bundle's notAfter %q is not a time", notAfter)
	}
	return c, nil
}

func (c claims) acceptable(o Options) error {
	switch {
	case o.Audience == "" || c.audience != o.Audience:
		return fmt.Errorf("%w: it is for %q, this is %q", ErrAudience, c.audience, o.Audience)
	case o.DataSource != "" && c.dataSource != o.DataSource:
		return fmt.Errorf("%w: it is about %q, this is %q", ErrSubject, c.dataSource, o.DataSource)
	case c.revision < o.MinRevision:
		return fmt.Errorf("%w: %d after %d", ErrRevision, c.revision, o.MinRevision)
	case !o.Now().Before(c.notAfter):
		return fmt.Errorf("%w: it ended at %s", ErrExpired, c.notAfter.Format(time.RFC3339))
	default:
		return nil
	}
}
