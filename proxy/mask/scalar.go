package mask

// class groups the scalar types that share a representation and therefore a redaction.
type class uint8

const (
	classUnknown class = iota
	classText
	classBpchar
	classCitext
	classChar
	classBool
	classInt2
	classInt4
	classInt8
	classFloat4
	classFloat8
	classNumeric
	classMoney
	classUUID
	classBytea
	classDate
	classTime
	classTimetz
	classTimestamp
	classTimestamptz
	classInterval
	classJSON
	classJSONB
	classJSONPath
	classXML
	classInet
	classCIDR
	classMacaddr
	classMacaddr8
	classBit
	classOID
	classXID8
	classReg
	classTID
	classLSN
	classSnapshot
	classOIDVector
	classInt2Vector
	classTSVector
	classTSQuery
	classPoint
	classLine
	classLseg
	classBox
	classPath
	classPolygon
	classCircle
	classHstore
	classLtree
	classVoid
)

// stars is the redaction of character strings. It says nothing about the length of what it hides.
const stars = "*****"

// redactions holds the fixed value of each class in both formats, in the form of the type's own output and send functions. Dates are those of
// the Unix epoch, which every client can represent, in the ISO form that PostgreSQL reads whatever DateStyle is set.
var redactions = [...]constant{
	classUnknown:     {text: stars, binaryNull: true},
	classText:        {text: stars, binary: stars},
	classBpchar:      {text: stars, binary: stars},
	classCitext:      {text: stars, binary: stars},
	classChar:        {text: "*", binary: "*"},
	classBool:        {text: "f", binary: "\x00"},
	classInt2:        {text: "0", binary: zeros[:2]},
	classInt4:        {text: "0", binary: zeros[:4]},
	classInt8:        {text: "0", binary: zeros[:8]},
	classFloat4:      {text: "0", binary: zeros[:4]},
	classFloat8:      {text: "0", binary: zeros[:8]},
	classNumeric:     {text: "0", binary: zeros[:8]}, // no digits, weight 0, positive, scale 0
	classMoney:       {text: "$0.00", binary: zeros[:8]},
	classUUID:        {text: "00000000-0000-0000-0000-000000000000", binary: zeros[:16]},
	classBytea:       {text: `\x`, binary: ""},
	classDate:        {text: "1970-01-01", binary: "\xff\xff\xd5\x33"}, // days since 2000-01-01: -10957
	classTime:        {text: "00:00:00", binary: zeros[:8]},
	classTimetz:      {text: "00:00:00+00", binary: zeros[:12]},
	classTimestamp:   {text: "1970-01-01 00:00:00", binary: epochMicros},
	classTimestamptz: {text: "1970-01-01 00:00:00+00", binary: epochMicros},
	classInterval:    {text: "00:00:00", binary: zeros[:16]},
	classJSON:        {text: `"` + stars + `"`, binary: `"` + stars + `"`},
	classJSONB:       {text: `"` + stars + `"`, binary: "\x01\"" + stars + `"`}, // version 1
	classJSONPath:    {text: "$", binary: "\x01$"},
	classXML:         {text: "<masked/>", binary: "<masked/>"},
	classInet:        {text: "0.0.0.0", binary: "\x02\x20\x00\x04" + zeros[:4]}, // family, bits, is cidr, bytes
	classCIDR:        {text: "0.0.0.0/32", binary: "\x02\x20\x01\x04" + zeros[:4]},
	classMacaddr:     {text: "00:00:00:00:00:00", binary: zeros[:6]},
	classMacaddr8:    {text: "00:00:00:00:00:00:00:00", binary: zeros[:8]},
	classBit:         {text: "", binary: zeros[:4]}, // empty: a length in bits would be the value's own
	classOID:         {text: "0", binary: zeros[:4]},
	classXID8:        {text: "0", binary: zeros[:8]},
	classReg:         {text: "-", binary: zeros[:4]},
	classTID:         {text: "(0,0)", binary: zeros[:6]},
	classLSN:         {text: "0/0", binary: zeros[:8]},
	classSnapshot:    {text: "1:1:", binary: zeros[:4] + one8 + one8}, // no running transactions, xmin, xmax
	// One zero: PostgreSQL does not read back what it sends for a vector without elements.
	classOIDVector:  {text: "0", binary: one4 + zeros[:4] + "\x00\x00\x00\x1a" + one4 + zeros[:4] + "\x00\x00\x00\x04" + zeros[:4]},
	classInt2Vector: {text: "0", binary: one4 + zeros[:4] + "\x00\x00\x00\x15" + one4 + zeros[:4] + "\x00\x00\x00\x02" + zeros[:2]},
	classTSVector:   {text: "", binary: zeros[:4]},
	classTSQuery:    {text: "'masked'", binary: one4 + "\x01\x00\x00masked\x00"}, // one item: an operand, no weights, no prefix
	classPoint:      {text: "(0,0)", binary: zeros[:16]},
	classLine:       {text: "{1,0,0}", binary: "\x3f\xf0" + zeros[:22]}, // A and B may not both be zero
	classLseg:       {text: "[(0,0),(0,0)]", binary: zeros[:32]},
	classBox:        {text: "(0,0),(0,0)", binary: zeros[:32]},
	classPath:       {text: "((0,0))", binary: "\x01" + one4 + zeros[:16]}, // closed, one point
	classPolygon:    {text: "((0,0))", binary: one4 + zeros[:16]},
	classCircle:     {text: "<(0,0),0>", binary: zeros[:24]},
	classHstore:     {text: "", binary: zeros[:4]},
	classLtree:      {text: "masked", binary: "\x01masked"},
	classVoid:       {text: "", binary: ""},
}

const (
	zeros       = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	one4        = "\x00\x00\x00\x01"
	one8        = "\x00\x00\x00\x00\x00\x00\x00\x01"
	epochMicros = "\xff\xfc\xa2\xfe\xc4\xc8\x20\x00" // microseconds since 2000-01-01: -946684800000000
)

// classOf returns the class of a scalar type, by OID and for extensions by name.
func classOf(t *Type) class {
	if c, ok := builtinClasses[t.OID]; ok {
		return c
	}
	return extensions[t.Name]
}

// textual says whether values of the class are character strings in both formats, so that parts of them may be kept.
func (c class) textual() bool {
	return c == classText || c == classBpchar || c == classCitext
}
