package mask

// maxTypeDepth bounds how deep types may nest: deeper ones, such as a cycle made by mistake, are unknown and masked.
const maxTypeDepth = 32

// maxTypeParts bounds how many parts a type may have in all: what lies beyond is unknown and masked. Without a bound, somebody who may create
// types could nest each one ten times in the next and have the masker grow without end.
const maxTypeParts = 10_000

// compiler turns a type and a spec into a masker.
type compiler struct {
	full  bool // the value was derived from a protected one
	depth int
	parts *int // how many types have been compiled
}

func newMasker(t *Type, s Spec, full bool) Masker {
	return compiler{full: full, parts: new(int)}.compile(t, s)
}

func (c compiler) compile(t *Type, s Spec) Masker {
	s.Strategy = c.strategy(s.Strategy)
	if s.Strategy == Null {
		return &nothing
	}
	*c.parts++
	if t == nil || c.depth >= maxTypeDepth || *c.parts > maxTypeParts {
		return &redactions[classUnknown]
	}
	c.depth++
	if b, ok := Builtin(t.OID); ok && (t.Kind == Base || t.Kind == Pseudo) {
		t = b
	}
	switch t.Kind {
	case Base, Pseudo:
		return scalar(classOf(t), s)
	case Domain:
		return c.compile(t.Base, s)
	case Array:
		return c.array(t, s)
	case Composite:
		return c.record(t, s)
	case Enum:
		return enum(t, s)
	case Range:
		return c.span(t, s, &constant{text: "empty", binary: "\x01"}) // flags: RANGE_EMPTY
	case Multirange:
		return c.span(t, s, &constant{text: "{}", binary: zeros[:4]}) // no ranges
	default:
		return &redactions[classUnknown]
	}
}

// strategy returns the strategy to apply, downgraded for derived values. It is where numbers that name no strategy become Redact.
func (c compiler) strategy(s Strategy) Strategy {
	s = s.known()
	if c.full && s != Null && s != Hash {
		return Redact
	}
	return s
}

// scalar returns the masker of a type that has no parts.
func scalar(c class, s Spec) Masker {
	redacted := &redactions[c]
	switch s.Strategy {
	case Reveal:
		return reveal{}
	case Partial:
		if c.textual() {
			return newPartial(s, redacted)
		}
	case Hash:
		if len(s.Key) > 0 {
			return newHash(c, s.Key, redacted)
		}
	case DateTrunc:
		return newTrunc(c, s.TruncateTo, redacted)
	}
	return redacted
}

// enum returns the masker of an enumeration: a label cannot be invented, and always taking the first one says nothing about the value.
func enum(t *Type, s Spec) Masker {
	if s.Strategy == Reveal {
		return reveal{}
	}
	if len(t.Labels) == 0 {
		return &nothing
	}
	return &constant{text: t.Labels[0], binary: t.Labels[0]}
}

// span returns the masker of a range or multirange. It is shown only if its bounds would be shown: they may be composites with masks.
func (c compiler) span(t *Type, s Spec, empty *constant) Masker {
	if s.Strategy == Reveal && Shows(c.compile(t.Elem, s)) {
		return reveal{}
	}
	return empty
}
