package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// statement is one of a file of SQL: what a tool sends that does not run here.
type statement struct {
	name       string
	sql        string
	parameters []string
	masked     json.RawMessage
	refused    string
}

// statements is a session of a file of SQL, each statement sent by the extended protocol and, where it has no parameters, also by the
// simple one.
func statements(file string) func(context.Context, *stage, login) ([]step, error) {
	return func(ctx context.Context, _ *stage, l login) ([]step, error) {
		text, err := sessions.ReadFile("sessions/sql/" + file)
		if err != nil {
			return nil, err
		}
		list, err := parseStatements(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%s user=%s database=%s password='%s' sslmode=disable", l.host, l.port, l.user, l.database, l.password))
		if err != nil {
			return nil, err
		}
		steps, err := send(ctx, conn, list)
		return steps, errors.Join(err, conn.Close(ctx))
	}
}

// parseStatements reads statements apart by lines "-- step: NAME", which lines "-- parameters: JSON", "-- masked: JSON" and
// "-- refused: WHY" may follow.
func parseStatements(text string) ([]statement, error) {
	var list []statement
	for _, part := range strings.Split("\n"+text, "\n-- step: ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		one := statement{name: name}
		var sql []string
		for _, line := range strings.Split(rest, "\n") {
			var err error
			if value, ok := strings.CutPrefix(line, "-- parameters: "); ok {
				err = json.Unmarshal([]byte(value), &one.parameters)
			} else if value, ok := strings.CutPrefix(line, "-- masked: "); ok {
				one.masked = json.RawMessage(value)
			} else if value, ok := strings.CutPrefix(line, "-- refused: "); ok {
				one.refused = value
			} else {
				sql = append(sql, line)
			}
			if err != nil {
				return nil, fmt.Errorf("step %q: %w", name, err)
			}
		}
		one.sql = strings.TrimSuffix(strings.TrimSpace(strings.Join(sql, "\n")), ";")
		list = append(list, one)
	}
	if len(list) == 0 {
		return nil, errors.New("no step")
	}
	return list, nil
}

func send(ctx context.Context, conn *pgconn.PgConn, list []statement) ([]step, error) {
	var steps []step
	for _, one := range list {
		extended := step{Name: one.name, Masked: one.masked, Refused: one.refused}
		parameters := make([][]byte, 0, len(one.parameters))
		for _, parameter := range one.parameters {
			parameters = append(parameters, []byte(parameter))
		}
		result := conn.ExecParams(ctx, one.sql, parameters, nil, nil, nil).Read()
		if err := extended.take(result); err != nil {
			return steps, err
		}
		steps = append(steps, extended)
		if len(one.parameters) > 0 || strings.HasPrefix(result.CommandTag.String(), "INSERT") {
			continue
		}
		simple := step{Name: one.name + " (simple)", Masked: one.masked, Refused: one.refused}
		results, err := conn.Exec(ctx, one.sql).ReadAll()
		if len(results) == 0 {
			results = []*pgconn.Result{{}}
		}
		results[0].Err = err
		if err := simple.take(results[0]); err != nil {
			return steps, err
		}
		steps = append(steps, simple)
	}
	return steps, nil
}

// take makes a result the step's answer: names of columns, rows as texts, command tag. An error that is not the server's ends the session.
func (s *step) take(result *pgconn.Result) error {
	var fromServer *pgconn.PgError
	if errors.As(result.Err, &fromServer) {
		s.Error = fromServer.Code + ": " + fromServer.Message
		return nil
	}
	if result.Err != nil {
		return fmt.Errorf("%s: %w", s.Name, result.Err)
	}
	columns := []string{}
	for _, field := range result.FieldDescriptions {
		columns = append(columns, field.Name)
	}
	rows := [][]*string{}
	for _, row := range result.Rows {
		values := []*string{}
		for _, value := range row {
			var text *string
			if value != nil {
				copied := string(value)
				text = &copied
			}
			values = append(values, text)
		}
		rows = append(rows, values)
	}
	var err error
	s.Answer, err = json.Marshal([]any{columns, rows, result.CommandTag.String()})
	return err
}
