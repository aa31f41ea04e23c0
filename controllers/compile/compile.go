package compile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// KeyID names the signing key in a bundle's signature.
const KeyID = "tidewaiter"

// SigningAlgorithm of bundles (RFC 8037). Ed25519 signatures are deterministic,
// and so are therefore bundles.
const SigningAlgorithm = "EdDSA"

// AudienceLocal is the audience of a bundle that no pod loads.
const AudienceLocal = "local"

// ErrNotAttached means that the DataSource does not let the subject's namespace
// attach.
var ErrNotAttached = errors.New("the DataSource's allowedNamespaces do not include the workload's namespace")

// library is the Rego that interprets the policies.
//
//go:embed rego/*.rego
var library embed.FS

// Input is everything that a bundle is made of. Nothing in it is changed.
type Input struct {
	DataSource *v1alpha1.DataSource
	// Policies may hold policies of other data sources and subjects; they are
	// left out.
	Policies []v1alpha1.AccessPolicy
	Subject  Subject
	// Revision grows with every change; sidecars refuse a lower one.
	Revision uint64
	// NotAfter is when sidecars stop deciding by this bundle, and deny.
	NotAfter time.Time
	// Audience is the UID of the only pod that may load it, or AudienceLocal.
	Audience string
	Key      ed25519.PrivateKey
}

// Bundle returns a signed OPA bundle (tar.gz) with the policy of the subject.
// Without a policy that selects the subject it denies everything. Errors name the
// object and the field.
func Bundle(in Input) ([]byte, error) {
	if err := check(&in); err != nil {
		return nil, err
	}
	selected, err := Selected(in.DataSource, in.Policies, in.Subject)
	if err != nil {
		return nil, err
	}
	doc, err := compileDocument(in.DataSource, selected)
	if err != nil {
		return nil, err
	}
	b := &bundle.Bundle{Manifest: manifest(&in)}
	if b.Data, err = asData(doc); err != nil {
		return nil, err
	}
	if b.Modules, err = modules(selected); err != nil {
		return nil, err
	}
	return sign(b, in.Key)
}

func check(in *Input) error {
	attached, err := Attached(in.DataSource, in.Subject)
	switch {
	case err != nil:
		return err
	case !attached:
		return fmt.Errorf("datasource %s/%s: namespace %q: %w",
			in.DataSource.Namespace, in.DataSource.Name, in.Subject.Namespace, ErrNotAttached)
	case in.Audience == "" || in.NotAfter.IsZero():
		return errors.New("compile: a bundle needs an audience and an end of its validity")
	case len(in.Key) != ed25519.PrivateKeySize:
		return errors.New("compile: a bundle needs an Ed25519 key")
	}
	return nil
}

func manifest(in *Input) bundle.Manifest {
	m := bundle.Manifest{
		Revision: strconv.FormatUint(in.Revision, 10),
		Roots:    &[]string{"tidewaiter"},
		Metadata: map[string]any{
			"audience":   in.Audience,
			"dataSource": in.DataSource.Namespace + "/" + in.DataSource.Name,
			"notAfter":   in.NotAfter.UTC().Format(time.RFC3339),
		},
	}
	m.SetRegoVersion(ast.RegoV1)
	return m
}

// asData turns the document into what OPA stores, numbers as it reads them, so
// that the signature's digest is the one that a reader computes.
func asData(doc *document) (map[string]any, error) {
	raw, err := json.Marshal(map[string]any{"tidewaiter": map[string]any{"bundle": doc}})
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	var data map[string]any
	if err := util.UnmarshalJSON(raw, &data); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return data, nil
}

// modules are our library and the owners' modules, each in a package of its own.
func modules(selected []*v1alpha1.AccessPolicy) ([]bundle.ModuleFile, error) {
	var files []bundle.ModuleFile
	entries, err := library.ReadDir("rego")
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	for _, e := range entries {
		source, err := library.ReadFile(path.Join("rego", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("compile: %w", err)
		}
		files = append(files, module(path.Join("/tidewaiter", e.Name()), source))
	}
	var errs []error
	for _, p := range selected {
		if p.Spec.Rego == "" {
			continue
		}
		source, err := customModule(fullName(p), p.Spec.Rego)
		errs = append(errs, err)
		files = append(files, module(path.Join("/tidewaiter/custom", p.Namespace, p.Name+".rego"), []byte(source)))
	}
	return files, errors.Join(errs...)
}

func module(name string, source []byte) bundle.ModuleFile {
	return bundle.ModuleFile{URL: name, Path: name, Raw: source}
}

func sign(b *bundle.Bundle, key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("compile: signing key: %w", err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := b.GenerateSignature(bundle.NewSigningConfig(block, SigningAlgorithm, ""), KeyID, true); err != nil {
		return nil, fmt.Errorf("compile: signing: %w", err)
	}
	// The reader finds the verifier by itself; naming one would let the bundle
	// choose how it is verified.
	b.Signatures.Plugin = ""
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).UseModulePath(true).DisableFormat(true).Write(*b); err != nil {
		return nil, fmt.Errorf("compile: writing: %w", err)
	}
	return out.Bytes(), nil
}
