package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// asking is a proxy whose policy asks for every read of customers.
func asking(t *testing.T, grant string) *local.Proxy {
	t.Helper()
	return start(t, local.Options{Approvals: true, Set: shop(t, postgrestest.Shared(t).NewDatabase(t, shopSQL),
		`rules: [{name: read, action: Allow, statements: [Select, BulkSelect, Session], tables: ["public.*"]}]`,
		`rules: [{name: free, action: Allow, statements: [Select, Session]}, {name: ask, action: RequireApproval, statements: [Select, BulkSelect], tables: ["public.*"], approval: {grant: `+grant+`}}]`)})
}

// begin runs a statement beside the test, and says how many rows came.
func begin(conn *pgconn.PgConn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		results, err := conn.Exec(context.Background(), sql).ReadAll()
		if err == nil && len(results[0].Rows) == 0 {
			err = errors.New("no rows")
		}
		done <- err
	}()
	return done
}

// waiting is what the proxy holds, once it does.
func waiting(t *testing.T, p *local.Proxy) local.Held {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if held := p.People().Held(); len(held) > 0 {
			return held[0]
		}
	}
	t.Fatal("nothing is held")
	return local.Held{}
}

func TestSomebodyAtThisMachineAnswers(t *testing.T) {
	p := asking(t, "Statement")
	conn := connect(t, endpoint(t, p))
	const sql = "select name from customers where id = 1"
	done := begin(conn, sql)
	held := waiting(t, p)
	if held.Requester != "shop/report-agent" || held.Rules[0] != "data/reporting ask" || strings.Contains(held.Text, "1") || !strings.HasPrefix(held.Name, "data/reporting-") {
		t.Errorf("held: %+v", held)
	}
	if err := p.People().Answer(held.Name, true, "ada", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("approved: %v", err)
	}
	done = begin(conn, sql) // an approval is good for once
	if err := p.People().Answer(waiting(t, p).Name, false, "ada", "not now"); err != nil {
		t.Fatal(err)
	}
	var pg *pgconn.PgError
	if err := <-done; !errors.As(err, &pg) || pg.Code != "42501" || !strings.Contains(pg.Message, "denied by ada") || !strings.Contains(pg.Detail, "not now") {
		t.Errorf("denied: %v", err)
	}
	if err := p.People().Answer(held.Name, true, "ada", ""); !errors.Is(err, local.ErrNotHeld) {
		t.Errorf("answered twice: %v", err)
	}
}

func TestAnApprovalForTheSessionIsKept(t *testing.T) {
	p := asking(t, "Session")
	conn := connect(t, endpoint(t, p))
	done := begin(conn, "select name from customers where id = 1")
	if err := p.People().Answer(waiting(t, p).Name, true, "ada", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := <-begin(conn, "select name from customers where id = 2"); err != nil {
		t.Errorf("the like of it: %v", err)
	}
	done = begin(connect(t, endpoint(t, p)), "select name from customers where id = 2")
	if err := p.People().Answer(waiting(t, p).Name, false, "ada", ""); err != nil {
		t.Fatal(err)
	}
	if <-done == nil {
		t.Error("another session has the grant")
	}
}

func TestOtherProcessesSeeAndAnswerOverASocket(t *testing.T) {
	p := asking(t, "Statement")
	web := httptest.NewServer(p.People().Handler())
	defer web.Close()
	done := begin(connect(t, endpoint(t, p)), "select name from customers where id = 1")
	name := waiting(t, p).Name
	answer, err := http.Get(web.URL + "/held")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list []local.Held
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || len(list) != 1 || list[0].Name != name {
		t.Fatalf("listed: %v %+v", err, list)
	}
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/held/data/another", `{"approve":true}`, http.StatusNotFound},
		{"/held/" + name, `{"aprove":true}`, http.StatusBadRequest},
		{"/held/" + name, `{"approve":true,"by":"ada"}`, http.StatusNoContent},
	} {
		got, err := http.Post(web.URL+c.path, "application/json", bytes.NewReader([]byte(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close() // nothing is in it
		if got.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.path, c.body, got.StatusCode, c.want)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func endpoint(t *testing.T, p *local.Proxy) string {
	t.Helper()
	e, err := p.Endpoint("")
	if err != nil {
		t.Fatal(err)
	}
	return e.ConnectionString()
}
