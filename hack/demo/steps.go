package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
)

// steps is the tour.
func steps(s *stage) []step {
	marker := s.path("pwned")
	return slices.Concat(masking(s), []step{
		psql(step{
			title: "An error that would quote a value",
			about: "PostgreSQL's own message is: invalid input syntax for type integer: \"…\", with somebody's number in it.",
			exit:  1, want: []string{"22P02", "withheld"},
			verified: "the error and its SQLSTATE arrived, the value did not",
		}, "select ssn::int from customers"),
		psqlScript(step{
			title: "A program on the database server",
			about: "The database role may do this (pg_execute_server_program); the policy's guard says no. The denial is an ordinary\nerror: the same connection goes on.",
			want:  []string{"ERROR:  tidewaiter:", "is denied (policy data/reporting, guard Program)", " t\n"},
			check: func(s *stage, out []byte) error {
				if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
					return errors.New("the program has run")
				}
				return nil
			},
			verified: "denied before anything was sent, the program did not run, and it is still the same connection",
		}, `select pg_backend_pid() as pid \gset`, "copy customers to program 'touch "+marker+"';", "select pg_backend_pid() = :pid as same_connection;"),
		rowLimit(),
		approved(),
		deniedByPerson(),
	}, reading())
}

// masking are the ways in which a value could get out under another name or shape.
func masking(s *stage) []step {
	return []step{
		psql(step{
			title: "A masked SELECT",
			about: "The agent's view of three customers. Masks follow the columns' tags.",
			want:  []string{"Ada Lovelace", "***@example.org", "*****", "1815-01-01"}, verified: "names are shown; emails keep their domain, birthdays their year, SSNs nothing",
		}, "select name, email, ssn, born from customers"),
		psql(step{
			title: "The same under other names",
			about: "An alias, a view over a sub-select, an expression: what counts is where a value comes from.",
			want:  []string{"*****"}, verified: "no part of an SSN came out",
		}, `select x.id as harmless, substr(x.id, 1, 3) as less, md5(x.id) as hashed from (select ssn as id from customers) x`),
		psql(step{
			title: "A whole row", about: "One value that holds the row.",
			want: []string{"*****", "(3 rows)"}, verified: "the row kept its shape and nothing else",
		}, "select c from customers c"),
		psql(step{
			title: "JSON", about: "Built by the server out of every column.",
			want: []string{"*****", "(1 row)"}, verified: "JSON made of tagged columns is masked",
		}, "select json_agg(c) from customers c"),
		psql(step{
			title: "COPY", about: "A bulk export, masked in the stream.",
			want: []string{"1,Ada Lovelace,***@example.org,*****,*****,1815-01-01"}, verified: "every line is masked, ids and names are not",
		}, "copy customers to stdout (format csv)"),
		{
			title: "Binary format", about: "A Go program that asks for binary values, and finds the database by DATABASE_URL.",
			shown: "kubectl tidewaiter local -f manifests/ -- ./fetch-binary",
			args:  []string{"local", "-f", "manifests", "--", s.self, fetchArgument},
			want:  []string{`"***@example.org"`, `"*****"`}, check: binaryDate,
			verified: "masked in binary as in text, and still valid values of their types",
		},
	}
}

// binaryDate checks the birthday in its binary format: days from 2000-01-01, four bytes, most significant first.
func binaryDate(_ *stage, out []byte) error {
	days := func(year, month, day int) []byte {
		since := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
		return fmt.Appendf(nil, "% x", binary.BigEndian.AppendUint32(nil, uint32(int32(since.Hours()/24))))
	}
	if masked := days(1815, 1, 1); !bytes.Contains(out, masked) || bytes.Contains(out, days(1815, 12, 10)) {
		return fmt.Errorf("the birthday is not 1815-01-01 (%s)", masked)
	}
	return nil
}

// rowLimit shows a result that is cut in mid-stream.
func rowLimit() step {
	const script = "psql -X -c 'copy orders to stdout' | wc -l"
	return step{
		title: "A row limit",
		about: "orders has 2,500 rows; the rule's limit is 1,000 for a statement.",
		shown: "kubectl tidewaiter local -f manifests/ -- sh -c " + quoted(script),
		args:  []string{"local", "-f", "manifests", "--", "sh", "-c", script},
		want:  []string{"stopped after 1000 rows", "limit rowsPerStatement"},
		check: func(_ *stage, out []byte) error {
			if !slices.Contains(strings.Split(string(out), "\n"), "1000") { // what wc counted
				return errors.New("not 1,000 rows arrived")
			}
			return nil
		},
		verified: "1,000 rows, then an error that names the rule and the limit",
	}
}

// reading are the steps that look at a policy and at what has been.
func reading() []step {
	return []step{
		{
			title: "What would happen?", about: "explain asks the policy and the database's catalog, and runs nothing.",
			shown:    `kubectl tidewaiter explain -f manifests/ "select name, email, upper(ssn), total from customers join orders on …"`,
			args:     []string{"explain", "-f", "manifests", "select name, email, upper(ssn), total from customers c join orders o on c.id = o.customer_id"},
			want:     []string{"ALLOW", "data/reporting, rule read", "public.customers.email (pii/email)", "because it is derived"},
			verified: "every column with its origin and its mask",
		},
		{
			title: "What would not?", about: "Exit code 3 says denied, for scripts.",
			shown:    `kubectl tidewaiter explain -f manifests/ "delete from orders"`,
			args:     []string{"explain", "-f", "manifests", "delete from orders"},
			exit:     3,
			want:     []string{"DENY", "UnboundedDelete"},
			verified: "denied, by no rule that allows it",
		},
		replayStep(),
		{
			title: "No credential behind the proxy", about: "What the agent's environment says about the database.",
			shown: `kubectl tidewaiter local -f manifests/ -- sh -c "env | grep -E '^PG|^DATABASE_URL' | sort"`,
			args:  []string{"local", "-f", "manifests", "--", "sh", "-c", "env | grep -E '^PG(HOST|PORT|USER|PASS|DATABASE)|^DATABASE_URL' | sort"},
			want:  []string{"PGHOST=127.0.0.1", "PGUSER=report-agent", "DATABASE_URL=postgres://report-agent@127.0.0.1:"},
			never: []string{shop.Role, "PGPASS"}, check: recordingsAreClean,
			verified: "neither the password nor the real user is there, nor a single sensitive value in any recording",
		},
	}
}

// programStatement is in the recording of one step only.
const programStatement = "copy customers to program"

// replayStep reads the recording of the session that tried to run a program.
func replayStep() step {
	return step{
		title: "What has happened?", about: "Every session is recorded, in a chain of hashes that shows any change.",
		shown: "kubectl tidewaiter replay ~/.local/state/tidewaiter/….twr",
		late: func(s *stage) ([]string, error) {
			file, _, err := deniedSession(s)
			return []string{"replay", "--width", "110", file}, err
		},
		want:     []string{"shop/report-agent", "DENIED (guard Program)", programStatement, "chain ok"},
		check:    changesShow,
		verified: "the denied statement is there, the chain holds, and a copy with one letter changed is found out",
	}
}

// deniedSession returns the recording that holds programStatement.
func deniedSession(s *stage) (file string, content []byte, err error) {
	files, err := filepath.Glob(filepath.Join(s.recordings(), "*.twr"))
	if err != nil {
		return "", nil, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || bytes.Contains(content, []byte(programStatement)) {
			return file, content, err
		}
	}
	return "", nil, errors.New("no recording holds the denied statement")
}

// changesShow changes one letter of a recording and expects replay to find it out.
func changesShow(s *stage, _ []byte) error {
	_, content, err := deniedSession(s)
	if err != nil {
		return err
	}
	changed := s.path("changed.twr")
	innocent := bytes.Replace(content, []byte(programStatement), []byte("copy customers to Program"), 1)
	if err := os.WriteFile(changed, innocent, 0o600); err != nil {
		return err
	}
	out, err := exec.Command(s.binary(), "replay", changed).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("BROKEN")) {
		return fmt.Errorf("a changed recording passes:\n%s", out)
	}
	return nil
}

func recordingsAreClean(s *stage, _ []byte) error {
	files, err := shop.LeakInFiles(s.recordings(), s.server.Password)
	if err == nil && files < 5 {
		err = fmt.Errorf("only %d sessions were recorded", files)
	}
	return err
}
