package mask

// Format is a format code of the protocol: how the bytes of a value are to be read.
type Format uint8

const (
	// Text is the output form of the type.
	Text Format = 0
	// Binary is the send form of the type.
	Binary Format = 1
)

// Kind says how a type is built, after pg_type.typtype and typcategory.
type Kind uint8

const (
	// Base is a scalar type, looked up by OID or, for a few well-known extensions, by name.
	Base Kind = iota
	// Array has elements of type Elem in up to six dimensions.
	Array
	// Composite has Fields.
	Composite
	// Domain is Base with a constraint and the same representation.
	Domain
	// Enum has Labels.
	Enum
	// Range has bounds of type Elem.
	Range
	// Multirange has ranges of type Elem.
	Multirange
	// Pseudo is a type that only results of functions have, such as record.
	Pseudo
)

// Type describes a PostgreSQL type as far as masking needs it. A type that leaves something unknown is masked, never guessed.
type Type struct {
	// OID is the type's object identifier.
	OID uint32
	// Name is the unqualified name, as in pg_type.typname.
	Name string
	// Kind says which of the following fields apply.
	Kind Kind
	// Elem is the element type of an Array, the subtype of a Range, the range type of a Multirange.
	Elem *Type
	// Fields are the attributes of a Composite in order, dropped ones left out. None means that they are not known.
	Fields []Field
	// Labels are the labels of an Enum in sort order.
	Labels []string
	// Base is the type that a Domain is over.
	Base *Type
}

// Field is an attribute of a composite type.
type Field struct {
	// Name is the attribute's name.
	Name string
	// Type is the attribute's type; nil is unknown and always masked.
	Type *Type
	// Mask is how the attribute is masked where the composite as a whole is shown (Reveal); nil shows it.
	Mask *Spec
}
