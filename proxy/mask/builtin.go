package mask

// Builtin returns the built-in type with the given OID: the base, range, multirange and result types of pg_catalog in PostgreSQL 14 to 18, oid8
// of 19, and their arrays. The source is pg_type.dat; OIDs in it never change. The result is shared and must not be changed.
func Builtin(oid uint32) (*Type, bool) {
	t, ok := builtinTypes[oid]
	return t, ok
}

var (
	builtinTypes   = buildBuiltins()
	builtinClasses = buildClasses()
)

// builtins lists pg_catalog's scalar types: OID, OID of the array type (0 for none), name, class.
var builtins = [...]struct {
	oid, array uint32
	name       string
	class      class
}{
	{16, 1000, "bool", classBool},
	{17, 1001, "bytea", classBytea},
	{18, 1002, "char", classChar},
	{19, 1003, "name", classText},
	{20, 1016, "int8", classInt8},
	{21, 1005, "int2", classInt2},
	{22, 1006, "int2vector", classInt2Vector},
	{23, 1007, "int4", classInt4},
	{24, 1008, "regproc", classReg},
	{25, 1009, "text", classText},
	{26, 1028, "oid", classOID},
	{27, 1010, "tid", classTID},
	{28, 1011, "xid", classOID},
	{29, 1012, "cid", classOID},
	{30, 1013, "oidvector", classOIDVector},
	{114, 199, "json", classJSON},
	{142, 143, "xml", classXML},
	{194, 0, "pg_node_tree", classText},
	{600, 1017, "point", classPoint},
	{601, 1018, "lseg", classLseg},
	{602, 1019, "path", classPath},
	{603, 1020, "box", classBox},
	{604, 1027, "polygon", classPolygon},
	{628, 629, "line", classLine},
	{650, 651, "cidr", classCIDR},
	{700, 1021, "float4", classFloat4},
	{701, 1022, "float8", classFloat8},
	{705, 0, "unknown", classText},
	{718, 719, "circle", classCircle},
	{774, 775, "macaddr8", classMacaddr8},
	{790, 791, "money", classMoney},
	{829, 1040, "macaddr", classMacaddr},
	{869, 1041, "inet", classInet},
	{1033, 1034, "aclitem", classUnknown},
	{1042, 1014, "bpchar", classBpchar},
	{1043, 1015, "varchar", classText},
	{1082, 1182, "date", classDate},
	{1083, 1183, "time", classTime},
	{1114, 1115, "timestamp", classTimestamp},
	{1184, 1185, "timestamptz", classTimestamptz},
	{1186, 1187, "interval", classInterval},
	{1266, 1270, "timetz", classTimetz},
	{1560, 1561, "bit", classBit},
	{1562, 1563, "varbit", classBit},
	{1700, 1231, "numeric", classNumeric},
	{1790, 2201, "refcursor", classText},
	{2202, 2207, "regprocedure", classReg},
	{2203, 2208, "regoper", classOID},
	{2204, 2209, "regoperator", classOID},
	{2205, 2210, "regclass", classReg},
	{2206, 2211, "regtype", classReg},
	{2950, 2951, "uuid", classUUID},
	{2970, 2949, "txid_snapshot", classSnapshot},
	{3220, 3221, "pg_lsn", classLSN},
	{3361, 0, "pg_ndistinct", classUnknown},
	{3402, 0, "pg_dependencies", classUnknown},
	{3614, 3643, "tsvector", classTSVector},
	{3615, 3645, "tsquery", classTSQuery},
	{3642, 3644, "gtsvector", classUnknown},
	{3734, 3735, "regconfig", classReg},
	{3769, 3770, "regdictionary", classReg},
	{3802, 3807, "jsonb", classJSONB},
	{4072, 4073, "jsonpath", classJSONPath},
	{4089, 4090, "regnamespace", classReg},
	{4096, 4097, "regrole", classReg},
	{4191, 4192, "regcollation", classReg},
	{4600, 0, "pg_brin_bloom_summary", classUnknown},
	{4601, 0, "pg_brin_minmax_multi_summary", classUnknown},
	{5017, 0, "pg_mcv_list", classUnknown},
	{5038, 5039, "pg_snapshot", classSnapshot},
	{5069, 271, "xid8", classXID8},
	{6437, 6442, "oid8", classXID8},
}

// builtinRanges lists pg_catalog's ranges: subtype, range and its array, multirange and its array.
var builtinRanges = [...]struct {
	subtype           uint32
	rng, rngArray     uint32
	rngName           string
	multi, multiArray uint32
	multiName         string
}{
	{23, 3904, 3905, "int4range", 4451, 6150, "int4multirange"},
	{1700, 3906, 3907, "numrange", 4532, 6151, "nummultirange"},
	{1114, 3908, 3909, "tsrange", 4533, 6152, "tsmultirange"},
	{1184, 3910, 3911, "tstzrange", 4534, 6153, "tstzmultirange"},
	{1082, 3912, 3913, "daterange", 4535, 6155, "datemultirange"},
	{20, 3926, 3927, "int8range", 4536, 6157, "int8multirange"},
}

// builtinPseudos lists the types that only results have. anyarray is the type of pg_stats' value columns.
var builtinPseudos = [...]Type{
	{OID: oidRecord, Name: "record", Kind: Composite},
	{OID: 2275, Name: "cstring", Kind: Pseudo},
	{OID: oidAnyArray, Name: "anyarray", Kind: Array},
	{OID: 2278, Name: "void", Kind: Pseudo},
}

// pseudoArrays maps the array types of result types to their elements.
var pseudoArrays = map[uint32]uint32{2287: oidRecord, 1263: 2275}

// Object identifiers that the code refers to.
const (
	oidText     = 25
	oidJSON     = 114
	oidJSONB    = 3802
	oidRecord   = 2249
	oidAnyArray = 2277
)

// extensions are base types of widely used extensions, whose OIDs differ from database to database. A name that somebody else took is still
// safe: the worst is a placeholder that the other type does not parse.
var extensions = map[string]class{
	"citext":    classCitext,
	"hstore":    classHstore,
	"ltree":     classLtree,
	"lquery":    classLtree,
	"ltxtquery": classLtree,
}

func buildBuiltins() map[uint32]*Type {
	m := make(map[uint32]*Type, 2*len(builtins)+4*len(builtinRanges)+len(builtinPseudos)+len(pseudoArrays))
	add := func(t Type, array uint32) *Type {
		p := &t
		m[t.OID] = p
		if array != 0 {
			m[array] = &Type{OID: array, Name: "_" + t.Name, Kind: Array, Elem: p}
		}
		return p
	}
	for _, b := range builtins {
		add(Type{OID: b.oid, Name: b.name}, b.array)
	}
	for _, r := range builtinRanges {
		rng := add(Type{OID: r.rng, Name: r.rngName, Kind: Range, Elem: m[r.subtype]}, r.rngArray)
		add(Type{OID: r.multi, Name: r.multiName, Kind: Multirange, Elem: rng}, r.multiArray)
	}
	for _, p := range builtinPseudos {
		add(p, 0)
	}
	for array, elem := range pseudoArrays {
		add(*m[elem], array)
	}
	return m
}

func buildClasses() map[uint32]class {
	m := map[uint32]class{2275: classText, 2278: classVoid}
	for _, b := range builtins {
		m[b.oid] = b.class
	}
	return m
}
