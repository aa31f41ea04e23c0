package mask_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// connect opens a connection to a database of its own on the real server, with the given SQL run in it.
func connect(t *testing.T, setup string) *pgx.Conn {
	t.Helper()
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, setup)
	conn, err := pgx.Connect(context.Background(), server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// serverTypes lists the server's own types that can be in a result, with what they are made of.
const serverTypes = `SELECT t.oid, t.typname, t.typtype = 'b' AND t.typcategory = 'A' AND t.typname NOT IN ('int2vector', 'oidvector'), t.typelem, t.typtype
	FROM pg_type t WHERE t.oid < 16384 AND t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm')
	AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typtype = 'c') ORDER BY 1`

func TestEveryTypeOfTheServerIsBuiltin(t *testing.T) {
	rows, err := connect(t, "").Query(context.Background(), serverTypes)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	kinds := map[string]mask.Kind{"b": mask.Base, "r": mask.Range, "m": mask.Multirange}
	for rows.Next() {
		var oid, elem uint32
		var name, typtype string
		var isArray bool
		if err := rows.Scan(&oid, &name, &isArray, &elem, &typtype); err != nil {
			t.Fatal(err)
		}
		typ, ok := mask.Builtin(oid)
		if !ok || typ.Name != name {
			t.Errorf("type %d, %s, is not built in, or has another name: %+v", oid, name, typ)
			continue
		}
		want := kinds[typtype]
		if isArray {
			want = mask.Array
		}
		if typ.Kind != want || isArray && typ.Elem.OID != elem {
			t.Errorf("%s is not described as the server does: %+v", name, typ)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// unreadable are types whose input functions refuse everything, or that have no binary input.
var unreadable = map[string]bool{
	"pg_node_tree": true, "pg_ndistinct": true, "pg_dependencies": true, "pg_mcv_list": true, "gtsvector": true, "aclitem": true,
	"_gtsvector": true, "_aclitem": true, "pg_brin_bloom_summary": true, "pg_brin_minmax_multi_summary": true,
}

func TestTheServerAcceptsEveryRedaction(t *testing.T) {
	conn := connect(t, "")
	rows, err := conn.Query(context.Background(), "SELECT oid FROM ("+serverTypes+") t")
	if err != nil {
		t.Fatal(err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		t.Fatal(err)
	}
	for _, oid := range oids {
		typ := builtin(t, oid)
		if unreadable[typ.Name] {
			continue
		}
		m := mask.New(typ, mask.Spec{})
		for _, format := range []int16{0, 1} {
			out, isNull := m.Append(nil, []byte("anything"), mask.Format(format))
			if isNull {
				t.Errorf("%s in format %d is NULL, although the server can read the type", typ.Name, format)
				continue
			}
			read := conn.PgConn().ExecParams(context.Background(), "SELECT $1", [][]byte{out}, []uint32{oid}, []int16{format}, nil).Read()
			if read.Err != nil {
				t.Errorf("%s in format %d: the server does not read %q: %v", typ.Name, format, out, read.Err)
			}
		}
	}
}

func TestDateTruncAgreesWithTheServerInBothFormats(t *testing.T) {
	conn := connect(t, "")
	ctx := context.Background()
	const values = ` FROM unnest(ARRAY['4713-01-01 BC', '0044-03-15 12:34:56 BC', '0001-12-31 23:59:59 BC', '0001-01-01', '1582-10-15', '1900-02-28 23:00',
		'1969-12-31 23:59:59.999999', '1999-12-31 23:30', '2000-02-29 12:00', '2024-07-01 00:30:00.5', '2100-03-01', '12345-06-07 08:09:10', '294276-12-30 23:59:59',
		'infinity', '-infinity']::TYPE[]) v`
	// Sao Paulo once had an offset with minutes and seconds, and changes its clocks at midnight.
	if _, err := conn.Exec(ctx, "SET timezone = 'America/Sao_Paulo'"); err != nil {
		t.Fatal(err)
	}
	for typeName, oid := range map[string]uint32{"date": oidDate, "timestamp": oidTimestamp, "timestamptz": oidTimestamptz} {
		for _, unit := range []string{"Year", "Month", "Day", "Hour"} {
			m := mask.New(builtin(t, oid), mask.Spec{Strategy: mask.DateTrunc, TruncateTo: unit})
			truncated := "date_trunc('" + unit + "', v)"
			switch typeName {
			case "date":
				truncated = "date_trunc('" + unit + "', v::timestamp)::date"
			case "timestamptz":
				truncated = "date_trunc('" + unit + "', v, 'UTC')"
			}
			query := strings.ReplaceAll("SELECT v, "+truncated+values, "TYPE", typeName)
			for _, format := range []int16{0, 1} {
				read := conn.PgConn().ExecParams(ctx, query, nil, nil, nil, []int16{format}).Read()
				if read.Err != nil {
					t.Fatal(read.Err)
				}
				for _, row := range read.Rows {
					out, _ := m.Append(nil, row[0], mask.Format(format))
					same := conn.PgConn().ExecParams(ctx, "SELECT $1 = $2", [][]byte{out, row[1]}, []uint32{oid, oid}, []int16{format, format}, nil).Read()
					if same.Err != nil || string(same.Rows[0][0]) != "t" {
						t.Errorf("%s %q to %s in format %d is %q, which is not %q: %v", typeName, row[0], unit, format, out, row[1], same.Err)
					}
				}
			}
		}
	}
}

const nastyValues = `SELECT * FROM (VALUES (1, 'plain'), (2, ''), (3, NULL), (4, 'NULL'), (5, '\N'), (6, E'tab\t newline\n return\r back\\slash'),
	(7, 'quote " and '' and (brackets), {braces}'), (8, E'\\.'), (9, 'a@b.org, c|d;e'), (10, E'\b\f\v')) v(id, secret)`

const nestedSchema = `CREATE TYPE person AS (id int, secret text, born date);
	CREATE TABLE values_with_everything AS SELECT id, secret, ROW(id, secret, '2001-02-03')::person AS p, ARRAY[secret, 'x' || id] AS a,
	ARRAY[[ROW(id, secret, NULL)::person], [NULL::person]] AS pp FROM (` + nastyValues + `) n`

func TestTheServerReadsMasksInsideOfArraysAndRecords(t *testing.T) {
	conn := connect(t, nestedSchema)
	ctx := context.Background()
	var personOID, personsOID uint32
	if err := conn.QueryRow(ctx, "SELECT 'person'::regtype::oid, 'person[]'::regtype::oid").Scan(&personOID, &personsOID); err != nil {
		t.Fatal(err)
	}
	partial := mask.Spec{Strategy: mask.Partial, KeepFirst: 2}
	person := &mask.Type{OID: personOID, Kind: mask.Composite, Fields: []mask.Field{
		{Name: "id", Type: builtin(t, oidInt4)},
		{Name: "secret", Type: builtin(t, oidText), Mask: &partial},
		{Name: "born", Type: builtin(t, oidDate)},
	}}
	persons := &mask.Type{OID: personsOID, Kind: mask.Array, Elem: person}
	const secret = "CASE WHEN length(secret) < 2 THEN '*****' ELSE left(secret, least(2, length(secret) / 2)) || '***' END"
	for _, c := range []struct {
		column, want string
		m            mask.Masker
		oid          uint32
	}{
		{"secret", secret, mask.New(builtin(t, oidText), partial), oidText},
		{"a", "ARRAY[" + secret + ", 'x***']", mask.New(builtin(t, oidTextArray), partial), oidTextArray},
		{"p", "ROW(id, " + secret + ", '2001-02-03')::person", mask.New(person, mask.Spec{Strategy: mask.Reveal}), personOID},
		{"pp", "ARRAY[[ROW(id, " + secret + ", NULL)::person], [NULL::person]]", mask.New(persons, mask.Spec{Strategy: mask.Reveal}), personsOID},
	} {
		query := "SELECT " + c.column + ", (CASE WHEN " + c.column + " IS NOT DISTINCT FROM NULL THEN NULL ELSE " + c.want + " END)::text, id FROM values_with_everything ORDER BY id"
		for _, format := range []int16{0, 1} {
			read := conn.PgConn().ExecParams(ctx, query, nil, nil, nil, []int16{format, 0, 0}).Read()
			if read.Err != nil {
				t.Fatal(read.Err)
			}
			for _, row := range read.Rows {
				if row[0] == nil {
					continue
				}
				out, isNull := c.m.Append(nil, row[0], mask.Format(format))
				if isNull {
					t.Fatalf("%s of row %s became NULL", c.column, row[2])
				}
				back := conn.PgConn().ExecParams(ctx, "SELECT $1::text", [][]byte{out}, []uint32{c.oid}, []int16{format}, nil).Read()
				if back.Err != nil {
					t.Errorf("%s of row %s, format %d: the server does not read %q: %v", c.column, row[2], format, out, back.Err)
				} else if got := string(back.Rows[0][0]); got != string(row[1]) {
					t.Errorf("%s of row %s, format %d: %q, want %q", c.column, row[2], format, got, row[1])
				}
			}
		}
	}
}
