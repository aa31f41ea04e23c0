package postgrestest

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// createRoles makes the roles that are there for their way of authenticating.
func (s *Server) createRoles(ctx context.Context) error {
	return s.Exec(ctx, "postgres", fmt.Sprintf(`
		CREATE ROLE %[2]s LOGIN PASSWORD '%[1]s';
		CREATE ROLE %[3]s LOGIN PASSWORD '%[1]s';
		CREATE ROLE %[4]s LOGIN;
		SET password_encryption = 'md5';
		CREATE ROLE %[5]s LOGIN PASSWORD '%[1]s';`,
		s.Password, RoleSCRAM, RoleCleartext, RoleCertificate, RoleMD5))
}

// Exec runs SQL text, of any number of statements, as the superuser in a database over a connection of its own.
func (s *Server) Exec(ctx context.Context, database, sql string) error {
	conn, err := pgconn.Connect(ctx, s.DSN(database))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// CreateDatabase makes a database as a copy of another one, to which nobody may be connected; "" is an empty one.
func (s *Server) CreateDatabase(ctx context.Context, name, template string) error {
	if template == "" {
		template = "template1"
	}
	return s.Exec(ctx, "postgres", "CREATE DATABASE "+identifier(name)+" TEMPLATE "+identifier(template)+" STRATEGY file_copy")
}

// DropDatabase removes a database, if it is there, and ends whatever is connected to it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+identifier(name)+" WITH (FORCE)")
}

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }
