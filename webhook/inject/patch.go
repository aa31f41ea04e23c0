package inject

import (
	"encoding/json"
	"strings"
)

// Operation of a JSON patch (RFC 6902).
type Operation struct {
	Op    string          `json:"op"`
	From  string          `json:"from,omitempty"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// patch collects operations, which are applied in order.
type patch struct {
	operations []Operation
}

func (p *patch) add(path string, value any)     { p.append("add", path, value) }
func (p *patch) replace(path string, value any) { p.append("replace", path, value) }

func (p *patch) move(from, to string) {
	p.operations = append(p.operations, Operation{Op: "move", From: from, Path: to})
}

func (p *patch) append(op, path string, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		panic("inject: a value of a patch that JSON cannot hold: " + err.Error()) // strings, and types of Kubernetes
	}
	p.operations = append(p.operations, Operation{Op: op, Path: path, Value: raw})
}

// escape writes a key as a token of a JSON pointer (RFC 6901).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
