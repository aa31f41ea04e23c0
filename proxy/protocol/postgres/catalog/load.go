package catalog

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// Bounds of what is loaded. A database above them is refused: half a catalog
// would call tagged columns untagged.
const (
	maxRelations = 500_000
	maxColumns   = 5_000_000
	maxRows      = 2_000_000 // of every other list
	maxPatterns  = 10_000
)

var versions atomic.Uint64

// Options are what a Snapshot is made of, besides the database.
type Options struct {
	Classifications []Classification
	// Trusted names user functions ("schema.name") whose results carry nothing but
	// their arguments, wherever a view calls them.
	Trusted []string
	// Previous is the snapshot of the same database that the new one takes the
	// place of: a column that a classification named then and that has another name
	// now stays tagged. nil = none.
	Previous *Snapshot
	// Acquired tags go on columns as those of classifications do.
	Acquired []Acquired
	// Epoch becomes the Snapshot's.
	Epoch uint64
	// Views returns what each column of a view carries by its query, where that is
	// certain; the snapshot is the one in the making, in which everything that the
	// view is built on has its tags. It may only say less than the server's own
	// attestation does. nil = the attestation alone counts.
	Views func(query string, s *Snapshot, trusted []string) (columns [][]string, certain bool)
}

// Load is LoadWith classifications and trusted functions alone.
func Load(ctx context.Context, conn *pgconn.PgConn, classifications []Classification, trusted ...string) (*Snapshot, error) {
	return LoadWith(ctx, conn, Options{Classifications: classifications, Trusted: trusted})
}

// LoadWith reads the catalog over conn and puts the tags of the classifications on
// its columns, on the columns of inheriting and inherited tables, on generated
// columns, on columns of composite types, and through views.
//
// conn must belong to the proxy alone and be idle: Load leaves search_path empty
// on it, so that text which the server makes of definitions is fully qualified.
// After an error the connection should be closed.
func LoadWith(ctx context.Context, conn *pgconn.PgConn, options Options) (*Snapshot, error) {
	patterns, err := compilePatterns(options.Classifications)
	if err != nil {
		return nil, err
	}
	l := &loader{
		ctx: ctx, conn: conn, relations: map[uint32]*Relation{}, trusted: map[string]bool{}, harmless: map[uint32]bool{},
		marks: map[attribute][]string{}, previous: options.Previous, options: options,
		wanted: options.Acquired, got: map[attribute][]string{},
	}
	for _, name := range options.Trusted {
		name, _, _ = strings.Cut(name, "(")
		l.trusted[name] = true
	}
	for _, step := range []func() error{
		l.begin, l.readSchemas, l.readRelations, l.readColumns, l.readTypes, l.readNames, l.readRoutines, l.readHooks, l.readCasts,
		func() error { return l.classify(patterns) },
		l.spreadOverTables, l.spreadOverViews, l.spreadOverToast, l.end,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("reading the catalog: %w", err)
		}
	}
	s := New(versions.Add(1), l.finish())
	s.Unmatched, s.marks, s.database, s.acquired, s.Epoch = l.unmatched, l.marks, l.database, l.acquired, options.Epoch
	return s, nil
}

// loader is the state of one Load.
type loader struct {
	ctx       context.Context
	conn      *pgconn.PgConn
	content   Content
	relations map[uint32]*Relation
	order     []uint32          // of relations, as read
	toast     map[uint32]uint32 // TOAST relation -> its table
	trusted   map[string]bool   // functions that views may call, "schema.name"
	pure      []string          // of listed extensions, harmless
	harmless  map[uint32]bool   // the same, functions by their OID
	allTags   []string
	unmatched []string
	marks     map[attribute][]string // the patterns that name a column
	previous  *Snapshot
	wanted    []Acquired // Options.Acquired
	acquired  []Acquired // what has become of them
	got       map[attribute][]string
	database  string // its OID
	options   Options
	viewOrder []uint32 // views, those that others are built on first
}

func (l *loader) begin() error {
	major, _, _ := strings.Cut(l.conn.ParameterStatus("server_version"), ".")
	l.content.Server, _ = strconv.Atoi(major) // 0 where it is "17beta1" or the like
	if err := l.run(querySettings); err != nil {
		return err
	}
	if err := l.run(queryDefaultPath); err != nil {
		return err
	}
	err := l.read(querySearchPath, maxRows, func(row []string) error {
		l.content.SearchPath = append(l.content.SearchPath, row[0])
		return nil
	})
	if err != nil {
		return err
	}
	err = l.read(queryDatabase, 1, func(row []string) error {
		l.database = row[0]
		return nil
	})
	if err != nil {
		return err
	}
	return l.run(queryIsolate)
}

func (l *loader) end() error { return l.run(queryEnd) }

func (l *loader) readSchemas() error {
	return l.read(querySchemas, maxRows, func(row []string) error {
		l.content.Schemas = append(l.content.Schemas, row[0])
		return nil
	})
}

func (l *loader) readRelations() error {
	l.toast = map[uint32]uint32{}
	return l.read(queryRelations, maxRelations, func(row []string) error {
		var n numbers
		r := &Relation{OID: n.oid(row[0]), Schema: row[1], Name: row[2], Kind: n.char(row[3])}
		for _, version := range row[5:] {
			r.Version = mix(r.Version, n.parse(version, 64))
		}
		l.relations[r.OID] = r
		l.order = append(l.order, r.OID)
		if toast := n.oid(row[4]); toast != 0 {
			l.toast[toast] = r.OID
		}
		return n.err
	})
}

// mix adds a row's version to those of a relation (FNV-1a, by words).
func mix(versions uint64, version int64) uint64 { return (versions ^ uint64(version)) * 1099511628211 }

func (l *loader) readColumns() error {
	return l.read(queryColumns, maxColumns, func(row []string) error {
		var n numbers
		c := Column{
			Num: n.small(row[1]), Name: row[2], TypeOID: n.oid(row[3]),
			Dropped: row[4] == "t", Generated: row[5] == "t",
		}
		if c.Dropped {
			c.Name = ""
		}
		if r := l.relations[n.oid(row[0])]; r != nil {
			r.Columns = append(r.Columns, c)
			r.Version = mix(r.Version, n.parse(row[6], 64))
		}
		return n.err
	})
}

func (l *loader) readTypes() error {
	labels := map[uint32][]string{}
	err := l.read(queryLabels, maxRows, func(row []string) error {
		var n numbers
		oid := n.oid(row[0])
		labels[oid] = append(labels[oid], row[1])
		return n.err
	})
	if err != nil {
		return err
	}
	return l.read(queryTypes, maxRows, func(row []string) error {
		var n numbers
		t := Type{
			OID: n.oid(row[0]), Schema: row[1], Name: row[2], Kind: n.char(row[3]), Elem: n.oid(row[4]),
			Base: n.oid(row[5]), Relation: n.oid(row[6]), Sub: n.oid(row[7]),
		}
		t.Labels = labels[t.OID]
		if r := l.relations[t.Relation]; t.Kind == 'c' && r != nil {
			for _, c := range r.Columns {
				if !c.Dropped {
					t.Fields = append(t.Fields, Field{Name: c.Name, TypeOID: c.TypeOID})
				}
			}
		}
		l.content.Types = append(l.content.Types, t)
		return n.err
	})
}

// pureExtensions are extensions of PostgreSQL's own distribution whose operators
// compute from their arguments alone. The operators that any extension defines on
// its own types count as well: "=" of PostGIS must not make every "=" suspicious.
var pureExtensions = set([]string{
	"btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore", "intarray", "isn",
	"ltree", "pg_trgm", "pgcrypto", "seg", "tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp",
})

func (l *loader) readNames() error {
	c, foreign := &l.content, map[string]bool{}
	collect := func(names *[]string, note func(row []string, harmless bool), harmless func(row []string) bool) func(row []string) error {
		return func(row []string) error {
			name := row[1] + "." + row[0]
			switch {
			case row[2] != "" && harmless(row):
				c.Extended = append(c.Extended, row[0])
				l.pure = append(l.pure, name)
				note(row, true)
				return nil
			case row[2] == "pg_stat_statements": // its view is tagged by column
				l.pure = append(l.pure, name)
			default:
				foreign[name] = true
			}
			*names = append(*names, row[0])
			note(row, false)
			if row[3] == "t" {
				c.FieldFunctions = append(c.FieldFunctions, row[0])
			}
			return nil
		}
	}
	// Function by function: a later version of an extension may bring one that
	// nobody has looked at.
	listed := func(row []string) bool { return functions.Extension(row[2], row[0]).Harmless() }
	note := func(row []string, harmless bool) {
		var n numbers
		l.harmless[n.oid(row[4])] = harmless
	}
	if err := l.read(queryFunctions, maxRows, collect(&c.Functions, note, listed)); err != nil {
		return err
	}
	ownOrPure := func(row []string) bool { return pureExtensions[row[2]] || row[4] == "t" }
	c.OperatorRoutines = map[string][]uint32{}
	note = func(row []string, harmless bool) {
		var n numbers
		if oid := n.oid(row[5]); !harmless {
			c.OperatorRoutines[row[0]] = append(c.OperatorRoutines[row[0]], oid)
		}
	}
	if err := l.read(queryOperators, maxRows, collect(&c.Operators, note, ownOrPure)); err != nil {
		return err
	}
	for _, name := range l.pure {
		if !foreign[name] { // a user's overload of the same name is not vouched for
			l.trusted[name] = true
		}
	}
	return nil
}

func (l *loader) finish() Content {
	l.content.Relations = nil
	for _, oid := range l.order {
		l.content.Relations = append(l.content.Relations, *l.relations[oid])
	}
	return l.content
}
