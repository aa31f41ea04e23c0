package catalog

import (
	"fmt"
	"strconv"
)

// run executes statements whose results nobody needs.
func (l *loader) run(sql string) error {
	_, err := l.conn.Exec(l.ctx, sql).ReadAll()
	return err
}

// read hands every row of a query to each, NULL as "". The slice is reused. More
// than limit rows are an error.
func (l *loader) read(sql string, limit int, each func(row []string) error, args ...string) error {
	params := make([][]byte, len(args))
	for i, arg := range args {
		params[i] = []byte(arg)
	}
	result := l.conn.ExecParams(l.ctx, sql, params, nil, nil, nil)
	var row []string
	var failed error
	for rows := 0; result.NextRow(); rows++ {
		if failed != nil {
			continue // the rest must be read before the connection can be used again
		}
		if rows == limit {
			failed = fmt.Errorf("the database has more than %d objects of one sort", limit)
			continue
		}
		row = row[:0]
		for _, value := range result.Values() {
			row = append(row, string(value))
		}
		failed = each(row)
	}
	if _, err := result.Close(); err != nil {
		return err
	}
	return failed
}

// numbers parses the numbers of a row and keeps the first error.
type numbers struct{ err error }

func (n *numbers) parse(text string, bits int) int64 {
	v, err := strconv.ParseInt(text, 10, bits)
	if err != nil && n.err == nil {
		n.err = err
	}
	return v
}

func (n *numbers) oid(text string) uint32 {
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil && n.err == nil {
		n.err = err
	}
	return uint32(v)
}

func (n *numbers) small(text string) int16 { return int16(n.parse(text, 16)) }

func (n *numbers) char(text string) byte {
	if len(text) != 1 {
		if n.err == nil {
			n.err = fmt.Errorf("%q is not a single character", text)
		}
		return 0
	}
	return text[0]
}
