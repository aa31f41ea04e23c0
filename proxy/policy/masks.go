package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// tagMasks is an answer of Engine.Masks.
type tagMasks struct {
	tags  []string
	masks map[string]access.Mask
}

// Masks returns what the bundle does to values of each tag, whatever statement they
// are in, and the bundle's revision. It permits nothing: it is for preparing a
// statement that is decided afterwards. The map is shared and must not be changed.
func (e *Engine) Masks(ctx context.Context, tags []string) (map[string]access.Mask, uint64, error) {
	if last := e.masks.Load(); last != nil && slices.Equal(last.tags, tags) {
		return last.masks, e.claims.revision, nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.options.Deadline)
	defer cancel()
	statements := []any{map[string]any{"tags": tags}}
	results, err := e.maskQuery.Eval(ctx, rego.EvalInput(map[string]any{"operation": map[string]any{"statements": statements}}))
	if err != nil {
		return nil, 0, fmt.Errorf("policy: masks: %w", err)
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, 0, errors.New("policy: the bundle says nothing of masks")
	}
	raw, err := json.Marshal(results[0].Expressions[0].Value)
	if err != nil {
		return nil, 0, fmt.Errorf("policy: masks: %w", err)
	}
	masks := map[string]access.Mask{}
	if err := json.Unmarshal(raw, &masks); err != nil {
		return nil, 0, fmt.Errorf("policy: masks: %w", err)
	}
	e.masks.Store(&tagMasks{tags: slices.Clone(tags), masks: masks})
	return masks, e.claims.revision, nil
}

// Masks answers by the bundle in force, as Engine.Masks does.
func (d *Decider) Masks(ctx context.Context, tags []string) (map[string]access.Mask, uint64, error) {
	e := d.current.Load()
	if e == nil {
		return nil, 0, ErrNoBundle
	}
	return e.Masks(ctx, tags)
}
