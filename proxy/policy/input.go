package policy

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Input is what policies see: the caller and the operation, and nothing that the
// client could put there by itself. docs/policy-input.schema.json describes it.
type Input struct {
	Identity  access.Identity   `json:"identity"`
	Operation *access.Operation `json:"operation"`
}

func inputOf(id access.Identity, op *access.Operation) (ast.Value, error) {
	raw, err := json.Marshal(Input{Identity: id, Operation: op})
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	v, err := ast.ValueFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("policy: input: %w", err)
	}
	return v, nil
}
