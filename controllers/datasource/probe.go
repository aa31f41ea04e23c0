package datasource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgconn"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

const (
	lookAgain     = time.Minute      // after a probe that went well
	lookAgainSoon = 10 * time.Second // after one that did not
	patience      = 5 * time.Second  // for a whole probe
	maxMessage    = 1 << 20          // of the server, in bytes
	maxWords      = 200              // of a server's message that are shown, in bytes
)

// probe connects to the database as a sidecar would, unless it has done so just now with the same spec and Secrets.
func (v *visit) probe(ctx context.Context) phase.Outcome {
	key := client.ObjectKeyFromObject(v.ds)
	of := fmt.Sprintf("%s %d %s", v.ds.UID, v.ds.Generation, v.versions)
	l, left := v.looks.recent(key, of)
	if l == nil {
		l = &look{of: of}
		l.columns, l.problem = v.ask(ctx)
		if ctx.Err() != nil {
			return phase.Retry(ctx.Err()) // the operator stops: that says nothing about the database
		}
		left = v.looks.keep(key, l)
	}
	if l.problem != nil {
		return phase.False(l.problem.reason, "%s", l.problem.message).Again(left)
	}
	v.classified = l.columns
	pg := v.ds.Spec.Postgres
	return phase.True(v1alpha1.ReasonReachable, "%s answers to the credential with database %q", address(pg), pg.Database).Again(left)
}

// trouble is why a database cannot be used, in words that hold no secret.
type trouble struct{ reason, message string }

func address(pg *v1alpha1.PostgresSource) string {
	return net.JoinHostPort(pg.Host, strconv.Itoa(int(pg.Port)))
}

// ask logs in and counts the classified columns; the count is nil if it could not be had.
func (v *visit) ask(ctx context.Context) (*int32, *trouble) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pg := v.ds.Spec.Postgres
	cfg, err := config(pg, v.material)
	if err != nil {
		return nil, &trouble{v1alpha1.ReasonUnreachable, err.Error()}
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, v.refused(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it is given up either way
	}()
	return count(ctx, conn, v.ds.Spec.Classifications), nil
}

func config(pg *v1alpha1.PostgresSource, m credential.Material) (*pgconn.Config, error) {
	if errBlank != nil {
		return nil, errBlank
	}
	secured, err := tlsConfig(pg, m)
	if err != nil {
		return nil, err
	}
	cfg := blank.Copy()
	cfg.Host, cfg.Port, cfg.Database = pg.Host, uint16(pg.Port), pg.Database
	cfg.User, cfg.Password, cfg.TLSConfig = m.Username, m.Password, secured
	if mode := pg.TLS.Mode; mode == v1alpha1.TLSDisable || mode == v1alpha1.TLSRequire || mode == v1alpha1.TLSVerifyCA && m.CA == nil {
		cfg.RequireAuth = "!password" // as sidecars have it: whoever answers has not proven who it is
	}
	cfg.RuntimeParams = map[string]string{
		"application_name": "tidewaiter-operator", "client_encoding": "UTF8",
		"default_transaction_read_only": "on", "statement_timeout": "3000",
	}
	return cfg, nil
}

// blank is what every configuration starts from. pgconn takes none that its ParseConfig has not made, and that reads PG…
// variables and the files that they name: none of these may decide how and as whom the operator logs in. So it is called
// while nothing but package initialization runs, with none of these variables set.
var blank, errBlank = parseWithoutEnvironment()

func parseWithoutEnvironment() (*pgconn.Config, error) {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name) // fails for impossible names only, and this one was possible
			defer func() { _ = os.Setenv(name, value) }()
		}
	}
	cfg, err := pgconn.ParseConfig("host=/ user=nobody password=none sslmode=disable passfile=/dev/null")
	if err != nil {
		return nil, err
	}
	cfg.MaxProtocolMessageBodyLen = maxMessage
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect = nil, nil, nil
	return cfg, nil
}

// refused turns pgconn's error into words without user name and password: pgconn's own texts hold the first, and a
// server's text could quote both.
func (v *visit) refused(err error) *trouble {
	pg, at := v.ds.Spec.Postgres, address(v.ds.Spec.Postgres)
	var (
		answer   *pgconn.PgError
		name     *net.DNSError
		unknown  x509.UnknownAuthorityError
		mismatch x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
	)
	say := func(reason, format string, args ...any) *trouble {
		return &trouble{reason, fmt.Sprintf(format, args...)}
	}
	switch {
	case errors.As(err, &answer) && strings.HasPrefix(answer.Code, "28"):
		return say(v1alpha1.ReasonAuthenticationFailed, "%s refuses the credential of Secret %s/%s (SQLSTATE %s): correct its keys username and password",
			at, v.ds.Namespace, v.ds.Spec.Credentials.SecretRef.Name, answer.Code)
	case errors.As(err, &answer) && answer.Code == "3D000":
		return say(v1alpha1.ReasonUnreachable, "%s has no database %q: correct spec.postgres.database", at, pg.Database)
	case errors.As(err, &answer):
		return say(v1alpha1.ReasonUnreachable, "%s ends the login with SQLSTATE %s%s", at, answer.Code, v.words(answer.Message))
	case errors.As(err, &mismatch), errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &verify):
		return say(v1alpha1.ReasonUnreachable, "%s: the server's certificate is not believed (tls.mode %s)%s: correct spec.postgres.tls.caSecretRef, or the certificate",
			at, pg.TLS.Mode, v.words(innermost(err).Error()))
	case errors.As(err, &name):
		return say(v1alpha1.ReasonUnreachable, "%s: the name cannot be resolved: correct spec.postgres.host", at)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return say(v1alpha1.ReasonUnreachable, "%s does not answer within %s: check spec.postgres.host and port, and that the network lets the operator through", at, patience)
	default:
		return say(v1alpha1.ReasonUnreachable, "%s: no session%s: check spec.postgres, its port and tls", at, v.words(innermost(err).Error()))
	}
}

// words are somebody else's text, as far as it can be shown.
func (v *visit) words(text string) string {
	if strings.Contains(text, v.material.Username) || strings.Contains(text, v.material.Password) {
		return ""
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return " (" + text + ")"
}

// innermost is the error at the bottom; of several addresses that were tried, the last one's.
func innermost(err error) error {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // it walks the chain itself
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}
