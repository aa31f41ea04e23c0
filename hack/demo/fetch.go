package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
)

// fetchBinary is a client that asks for a customer in PostgreSQL's binary format, as pgx, JDBC and many others do. It
// finds the database by DATABASE_URL, as a program in a pod would.
func fetchBinary(ctx context.Context, w io.Writer) error {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return errors.New("DATABASE_URL is not set: this part of the demo runs behind kubectl tidewaiter local")
	}
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // it is only read from
	const binary = 1                       // PostgreSQL documentation, "Formats and Format Codes"
	result := conn.ExecParams(ctx, "select id, email, ssn, born from customers where id = $1", [][]byte{[]byte("1")}, nil, nil, []int16{binary}).Read()
	if result.Err != nil {
		return result.Err
	}
	for _, row := range result.Rows {
		for i, value := range row {
			f := result.FieldDescriptions[i]
			if f.Format != binary {
				return fmt.Errorf("the column %s did not come in binary", f.Name)
			}
			fmt.Fprintf(w, "%-6s %2d bytes  % x  %q\n", f.Name, len(value), value, value)
		}
	}
	return nil
}
