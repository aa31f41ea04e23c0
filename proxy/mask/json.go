package mask

import "bytes"

// maxJSONDepth bounds how deep objects and arrays nest that are looked into; a deeper value is masked as a whole.
const maxJSONDepth = 64

// hidden is what takes the place of JSON that may not be shown. It says nothing of the value, not even whether it was an object.
const hidden = `"` + stars + `"`

// jsonMasker replaces what is masked inside of JSON values, and leaves everything else as it is, white space included.
type jsonMasker struct {
	root     *jsonNode
	redacted *constant
	versions bool // the binary form begins with a version, as jsonb's does
}

// jsonNode is a compiled Shape.
type jsonNode struct {
	kind  ShapeKind
	leaf  jsonLeaf
	keys  map[string]*jsonNode
	items []*jsonNode
	elem  *jsonNode
}

// json returns the masker of JSON values.
func (c compiler) json(t *Type, s *Shape) Masker {
	class := classOf(t)
	root := c.jsonNode(s)
	switch root.kind {
	case Shown:
		return reveal{}
	case Opaque:
		return &redactions[class]
	}
	return &jsonMasker{root: root, redacted: &redactions[class], versions: class == classJSONB}
}

// jsonNode compiles a shape. One without anything to mask is Shown.
func (c compiler) jsonNode(s *Shape) *jsonNode {
	if *c.parts++; s == nil || *c.parts > maxTypeParts || c.depth >= maxJSONDepth {
		return &jsonNode{}
	}
	c.depth++
	n := &jsonNode{kind: s.Kind}
	shown := true
	part := func(s *Shape) *jsonNode {
		p := c.jsonNode(s)
		shown = shown && p.kind == Shown
		return p
	}
	switch s.Kind {
	case Shown:
		return n
	case Leaf:
		n.leaf, shown = newJSONLeaf(s)
	case Object:
		n.keys = make(map[string]*jsonNode, len(s.Fields))
		for _, f := range s.Fields {
			p := part(f.Shape)
			if n.keys[f.Name] != nil {
				p, shown = &jsonNode{}, false // which of the two it is cannot be told
			}
			n.keys[f.Name] = p
		}
		if s.Elem != nil {
			n.elem = part(s.Elem)
		}
	case List:
		n.elem = part(s.Elem)
	case Tuple:
		for _, f := range s.Fields {
			n.items = append(n.items, part(f.Shape))
		}
	default: // a Row is no JSON
		return &jsonNode{}
	}
	if shown {
		return &jsonNode{kind: Shown}
	}
	return n
}

func (m *jsonMasker) redaction() *constant { return m.redacted }

func (m *jsonMasker) Append(dst, value []byte, f Format) ([]byte, bool) {
	w := jsonWalk{src: value, dst: dst}
	switch {
	case f > Binary:
		return dst, true
	case f == Binary && m.versions:
		if len(value) == 0 || value[0] != 1 {
			return m.redacted.Append(dst, value, f)
		}
		w.at, w.dst = 1, append(dst, 1)
	}
	w.space()
	if !w.value(m.root, 0) {
		return m.redacted.Append(dst, value, f)
	}
	w.space()
	if w.at != len(value) {
		return m.redacted.Append(dst, value, f)
	}
	return w.dst, false
}

// jsonWalk copies JSON from src to dst while it masks.
type jsonWalk struct {
	src []byte
	at  int
	dst []byte
}

// space copies white space.
func (w *jsonWalk) space() {
	from := w.at
	w.at = skipSpace(w.src, w.at)
	w.dst = append(w.dst, w.src[from:w.at]...)
}

// take copies one byte if it is the next.
func (w *jsonWalk) take(b byte) bool {
	if w.at >= len(w.src) || w.src[w.at] != b {
		return false
	}
	w.at++
	w.dst = append(w.dst, b)
	return true
}

// value copies the value at the front as its shape says. It reports false for what is no JSON or nests too deep. A value of another shape is
// replaced.
func (w *jsonWalk) value(n *jsonNode, depth int) bool {
	from, to := w.at, len(w.dst)
	switch n.kind {
	case Shown:
		end, ok := skipJSON(w.src, from, depth)
		if ok {
			w.dst = append(w.dst, w.src[from:end]...)
			w.at = end
		}
		return ok
	case Object:
		if depth < maxJSONDepth && w.object(n, depth) {
			return true
		}
	case List, Tuple:
		if depth < maxJSONDepth && w.list(n, depth) {
			return true
		}
	}
	w.dst = w.dst[:to]
	end, ok := skipJSON(w.src, from, depth)
	if !ok {
		return false
	}
	w.at = end
	token := w.src[from:end]
	switch {
	case token[0] == 'n':
		w.dst = append(w.dst, token...)
	case n.kind == Leaf:
		w.dst = n.leaf.append(w.dst, token)
	default:
		w.dst = append(w.dst, hidden...)
	}
	return true
}

// object copies an object. It reports false where it is none, or has a key that the shape does not have.
func (w *jsonWalk) object(n *jsonNode, depth int) bool {
	if !w.take('{') {
		return false
	}
	w.space()
	if w.take('}') {
		return true
	}
	for {
		end, ok := skipString(w.src, w.at)
		if !ok {
			return false
		}
		part := w.key(n, w.src[w.at+1:end-1])
		if part == nil {
			return false
		}
		w.dst = append(w.dst, w.src[w.at:end]...)
		w.at = end
		w.space()
		if !w.take(':') {
			return false
		}
		w.space()
		if !w.value(part, depth+1) {
			return false
		}
		w.space()
		if w.take('}') {
			return true
		}
		if !w.take(',') {
			return false
		}
		w.space()
	}
}

// key returns the shape under a key, given between its quotes, or nil.
func (w *jsonWalk) key(n *jsonNode, quoted []byte) *jsonNode {
	plain := quoted
	if bytes.IndexByte(quoted, '\\') >= 0 {
		at := len(w.dst) // the plain form is made behind the end
		out, ok := unquoteJSON(w.dst, quoted)
		if w.dst = out[:at]; !ok {
			return nil
		}
		plain = out[at:]
	}
	if part := n.keys[string(plain)]; part != nil {
		return part
	}
	return n.elem
}

// list copies an array. It reports false where it is none, or has another length than the shape.
func (w *jsonWalk) list(n *jsonNode, depth int) bool {
	if !w.take('[') {
		return false
	}
	w.space()
	if w.take(']') {
		return n.kind == List || len(n.items) == 0
	}
	for i := 0; ; i++ {
		part := n.elem
		if n.kind == Tuple {
			if i >= len(n.items) {
				return false
			}
			part = n.items[i]
		}
		if !w.value(part, depth+1) {
			return false
		}
		w.space()
		if w.take(']') {
			return n.kind == List || i+1 == len(n.items)
		}
		if !w.take(',') {
			return false
		}
		w.space()
	}
}
