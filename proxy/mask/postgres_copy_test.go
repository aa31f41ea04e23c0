package mask_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

// wrongRows lists the rows of the target that are not the masked ones of the source.
const wrongRows = `SELECT coalesce(array_agg(id), '{}') FROM source FULL JOIN target t USING (id) WHERE t.shown IS DISTINCT FROM source.shown
	OR t.redacted IS DISTINCT FROM CASE WHEN source.redacted IS NOT NULL THEN '*****' END
	OR t.kept IS DISTINCT FROM CASE WHEN length(source.kept) < 2 THEN '*****' ELSE left(source.kept, least(2, length(source.kept) / 2)) || '***' END`

// TestMasksSurviveACopyThroughTheServer copies a table out, masks the stream, copies it into another table, and looks there.
func TestMasksSurviveACopyThroughTheServer(t *testing.T) {
	conn := connect(t, `CREATE TABLE source AS SELECT id, secret AS shown, secret AS redacted, secret AS kept FROM (`+nastyValues+`) n;
		CREATE TABLE target (LIKE source)`)
	ctx := context.Background()
	text := builtin(t, oidText)
	columns := []mask.Masker{nil, nil, mask.New(text, mask.Spec{}), mask.New(text, mask.Spec{Strategy: mask.Partial, KeepFirst: 2})}
	for options, format := range map[string]mask.CopyFormat{
		`FORMAT text`:                             mask.DefaultCopyFormat(mask.CopyText),
		`FORMAT text, DELIMITER '|', HEADER`:      {Kind: mask.CopyText, Delimiter: '|', Null: `\N`, Header: true},
		`FORMAT text, NULL '\0'`:                  {Kind: mask.CopyText, Null: `\0`},
		`FORMAT csv`:                              mask.DefaultCopyFormat(mask.CopyCSV),
		`FORMAT csv, HEADER, NULL 'NULL'`:         {Kind: mask.CopyCSV, Null: "NULL", Header: true},
		`FORMAT csv, QUOTE '''', ESCAPE '\'`:      {Kind: mask.CopyCSV, Quote: '\'', Escape: '\\'},
		`FORMAT csv, DELIMITER ';', NULL '*****'`: {Kind: mask.CopyCSV, Delimiter: ';', Null: "*****"},
		`FORMAT csv, FORCE_QUOTE *`:               {Kind: mask.CopyCSV, ForceQuoteAll: true},
		`FORMAT binary`:                           mask.DefaultCopyFormat(mask.CopyBinary),
	} {
		t.Run(options, func(t *testing.T) {
			var out bytes.Buffer
			if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY source TO STDOUT ("+options+")"); err != nil {
				t.Fatal(err)
			}
			masker := mask.NewCopyMasker(format, columns)
			masked, err := copied(masker, out.String())
			if err != nil {
				t.Fatal(err)
			}
			if masker.Rows() != 10 || masker.Masked() != 18 {
				t.Errorf("%d rows and %d masked values, want 10 and 18", masker.Rows(), masker.Masked())
			}
			if _, err := conn.Exec(ctx, "TRUNCATE target"); err != nil {
				t.Fatal(err)
			}
			into := strings.Replace(options, ", FORCE_QUOTE *", "", 1) // which only COPY TO takes
			if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(masked), "COPY target FROM STDIN ("+into+")"); err != nil {
				t.Fatalf("the server does not read the masked stream: %v\n%s", err, masked)
			}
			var wrong []int
			if err := conn.QueryRow(ctx, wrongRows).Scan(&wrong); err != nil || len(wrong) > 0 {
				t.Errorf("rows %v are not masked as they should be (%v):\n%s", wrong, err, masked)
			}
		})
	}
}
