package mask

// Masker replaces values of one type. Maskers are immutable and safe for concurrent use.
type Masker interface {
	// Append appends the masked form of a non-NULL value to dst and returns it, or reports that NULL takes the value's place and returns dst as
	// it was. The output is in the value's own format. It neither changes nor keeps value, which must not overlap dst's free capacity, and
	// allocates nothing but room in dst. A value that is malformed is redacted; one in a format that does not exist becomes NULL.
	Append(dst, value []byte, f Format) (out []byte, null bool)
}

// Overwriter is the optional ability of a Masker to mask in place.
type Overwriter interface {
	// Overwrite masks value where it stands if the masked form has the same length, and otherwise reports false and leaves value alone.
	Overwrite(value []byte, f Format) bool
}

// New returns the masker for values of type t under s. A nil or unknown type is "*****" in text and NULL in binary format.
//
// An array under Redact is empty, which hides its length too; under Partial, Hash and DateTrunc its elements are masked one by one, and lower
// bounds are reset to 1. A composite keeps its shape: under Reveal its fields follow their own Mask, otherwise every field is masked by the
// stricter of its own Mask and s. Ranges and multiranges are empty. An enum is its first label, or NULL if the labels are not known.
func New(t *Type, s Spec) Masker { return newMasker(t, s, false) }

// Full returns the masker for a value that was derived from a protected one by an expression. Part of such a value may be all of the secret, so
// Partial, DateTrunc and Reveal become Redact, also inside of composites; Hash and Null stay. Arrays are emptied even under Hash, because an
// expression can put the secret into the number of elements. A caller that means to show a value does not mask it.
func Full(t *Type, s Spec) Masker { return newMasker(t, s, true) }

// Fixed returns the text form of what takes the place of every value of type t under s, where that does not depend on the value. ok is false
// where it does, and where the type is not known. null says that NULL does.
func Fixed(t *Type, s Spec) (text string, null, ok bool) {
	c, ok := New(t, s).(*constant)
	if !ok || c.textNull != c.binaryNull {
		return "", false, false
	}
	return c.text, c.textNull, true
}

// Shows reports that m passes every value on as it is, so that a plan can leave the column alone. A nil Masker shows.
func Shows(m Masker) bool {
	if m == nil {
		return true
	}
	_, ok := m.(reveal)
	return ok
}

// constant is a masker whose output does not depend on the value. The zero constant is an empty string.
type constant struct {
	text, binary         string
	textNull, binaryNull bool
}

// nothing is the mask that leaves NULL in either format.
var nothing = constant{textNull: true, binaryNull: true}

// in returns the constant's bytes in a format, and whether they are NULL. A format that does not exist is NULL.
func (c *constant) in(f Format) (string, bool) {
	switch f {
	case Text:
		return c.text, c.textNull
	case Binary:
		return c.binary, c.binaryNull
	default:
		return "", true
	}
}

func (c *constant) Append(dst, _ []byte, f Format) ([]byte, bool) {
	s, null := c.in(f)
	if null {
		return dst, true
	}
	return append(dst, s...), false
}

func (c *constant) Overwrite(value []byte, f Format) bool {
	s, null := c.in(f)
	if null || len(s) != len(value) {
		return false
	}
	copy(value, s)
	return true
}

func (c *constant) redaction() *constant { return c }

// redactor is a masker that knows what to put in place of a value it could not see, because it was too long or malformed.
type redactor interface {
	redaction() *constant
}

// redactionOf returns what takes the place of a value that m was not shown.
func redactionOf(m Masker) *constant {
	if r, ok := m.(redactor); ok {
		return r.redaction()
	}
	return &nothing
}

// reveal passes values on.
type reveal struct{}

func (reveal) Append(dst, value []byte, f Format) ([]byte, bool) {
	if f > Binary {
		return dst, true
	}
	return append(dst, value...), false
}

func (reveal) Overwrite(_ []byte, f Format) bool { return f <= Binary }
