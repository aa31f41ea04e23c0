package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/controllers/audit"
	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

const (
	reads  = "tidewaiter-recordings-reader"
	erases = "tidewaiter-recordings-eraser"
)

var (
	today = time.Now().UTC()
	sold  = store.Session{Namespace: "shop", UID: "7d9f-uid", ID: "2026-11-26t10-00-00.000-aaaa"}
	tried = store.Session{Namespace: "lab", UID: "11aa-uid", ID: "2026-11-26t11-00-00.000-bbbb"}
)

func TestWhoMayReadIsFoundOutByTheAPIServer(t *testing.T) {
	p := newPlace(t)
	sealed := p.shelf.put(t, sold, today)
	p.shelf.put(t, tried, today)
	p.shelf.objects["log/checkpoint"] = []byte("a checkpoint")
	shop := p.token("shop", "reader", wire.Audience)
	p.bind(reads, "shop", "shop/reader")
	none := p.token("shop", "nobody", wire.Audience)
	everywhere := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	ours, theirs := sold.Segment(1), tried.Segment(1)
	for name, test := range map[string]struct {
		token, object string
		status        int
		reason, says  string
	}{
		"its own namespace":                           {shop, ours, 200, "", ""},
		"its index":                                   {shop, sold.Entry(today), 200, "", ""},
		"another namespace":                           {shop, theirs, 403, wire.ReasonForbidden, "system:serviceaccount:shop:reader may not get sessions.tidewaiter.dev/recording in namespace lab: ask for a RoleBinding in namespace lab to ClusterRole tidewaiter-recordings-reader"},
		"another namespace's index":                   {shop, tried.Entry(today), 403, wire.ReasonForbidden, "in namespace lab"},
		"the log, by a reader of one namespace":       {shop, "log/checkpoint", 403, wire.ReasonForbidden, "in all namespaces: ask for a ClusterRoleBinding"},
		"the log, by a reader of all":                 {everywhere, "log/checkpoint", 200, "", ""},
		"any namespace, by a reader of all":           {everywhere, theirs, 200, "", ""},
		"nobody":                                      {none, ours, 403, wire.ReasonForbidden, "system:serviceaccount:shop:nobody may not"},
		"whether it is there is not told who may not": {none, sold.Segment(2), 403, wire.ReasonForbidden, ""},
		"no token":                                    {"", ours, 401, wire.ReasonTokenMissing, "--audience tidewaiter.dev/recordings"},
		"no JWT":                                      {"abc", ours, 401, wire.ReasonTokenMalformed, ""},
		"a token for the API server":                  {p.token("shop", "reader"), ours, 401, wire.ReasonTokenAudience, "not made for the audience tidewaiter.dev/recordings"},
		"a sidecar's token":                           {p.token("shop", "reader", "tidewaiter.dev/operator"), ours, 401, wire.ReasonTokenAudience, ""},
		"a token that nobody signed":                  {forged(shop), ours, 401, wire.ReasonTokenRejected, ""},
		"what is not there":                           {shop, sold.Segment(2), 404, wire.ReasonNotFound, ""},
		"a session's key":                             {everywhere, sold.Key(), 400, wire.ReasonBadRequest, "nothing but recordings/, index/ and log/ is served"},
		"a key by the way of the log":                 {everywhere, "log/../" + sold.Key(), 400, wire.ReasonBadRequest, ""},
		"a key by the way of a segment":               {shop, "recordings/shop/../../" + sold.Key(), 400, wire.ReasonBadRequest, ""},
		"another namespace by the way of its own":     {shop, "recordings/shop/../lab/" + strings.TrimPrefix(theirs, "recordings/lab/"), 400, wire.ReasonBadRequest, ""},
		"another namespace by an encoded way":         {shop, "recordings/shop/%2e%2e/lab/x/y/00000001.tws", 400, wire.ReasonBadRequest, ""},
		"an absolute name":                            {everywhere, "/" + ours, 400, wire.ReasonBadRequest, ""},
		"two slashes":                                 {everywhere, "recordings//" + strings.TrimPrefix(ours, "recordings/"), 400, wire.ReasonBadRequest, ""},
		"a segment's other name":                      {shop, strings.Replace(ours, "00000001", "1", 1), 400, wire.ReasonBadRequest, ""},
		"what is beside segments":                     {shop, sold.Folder() + "notes.txt", 400, wire.ReasonBadRequest, ""},
		"a folder":                                    {shop, sold.Folder(), 400, wire.ReasonBadRequest, ""},
		"no name":                                     {everywhere, "", 400, wire.ReasonBadRequest, ""},
		"a name with a NUL":                           {everywhere, "log/\x00", 400, wire.ReasonBadRequest, ""},
		"a name with a backslash":                     {everywhere, `log\..\` + sold.Key(), 400, wire.ReasonBadRequest, ""},
		"a namespace that is none":                    {everywhere, "recordings/-/7d9f-uid/a/00000001.tws", 400, wire.ReasonBadRequest, ""},
		"an entry of a day that is none":              {everywhere, "index/2026-13-01/shop/7d9f-uid/a.json", 400, wire.ReasonBadRequest, ""},
		"a name longer than any":                      {everywhere, "log/" + strings.Repeat("a", 600), 400, wire.ReasonBadRequest, ""},
	} {
		got := p.get(test.token, wire.PathObject, "name", test.object)
		if got.status != test.status || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
			t.Errorf("%s: %d %s %q, want %d %s %q", name, got.status, got.Reason, got.Message, test.status, test.reason, test.says)
		}
		if got.status == 200 && test.object == ours && !bytes.Equal(got.body, sealed) {
			t.Errorf("%s: the segment is not as it was sealed", name)
		}
	}
}

// forged is a token whose claims were changed.
func forged(token string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
}

func TestASegmentIsGivenAsItWasSealedOrAsItIsStored(t *testing.T) {
	p := newPlace(t)
	sealed := p.shelf.put(t, sold, today)
	token := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	name := sold.Segment(1)
	if got := p.get(token, wire.PathObject, "name", name); !bytes.Equal(got.body, sealed) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", got.status, got.Message, got.header)
	}
	stored := p.shelf.objects[name]
	if bytes.Equal(stored, sealed) {
		t.Fatal("the shelf does not encrypt")
	}
	if got := p.get(token, wire.PathObject, "name", name, "stored", "1"); !bytes.Equal(got.body, stored) {
		t.Errorf("stored: %d %s", got.status, got.Message)
	}
	for _, query := range [][]string{{"name", name, "stored", "yes"}, {"name", name, "name", name}, {"name", name, "raw", "1"}} {
		if got := p.get(token, wire.PathObject, query...); got.status != 400 || got.Reason != wire.ReasonBadRequest {
			t.Errorf("%v: %d %s", query, got.status, got.Reason)
		}
	}

	// What was changed in the bucket is not passed off as what was sealed; its bytes can still be had.
	changed := bytes.Clone(stored)
	changed[len(changed)-1] ^= 1
	p.shelf.objects[name] = changed
	if got := p.get(token, wire.PathObject, "name", name); got.status != 422 || got.Reason != wire.ReasonNotSegment {
		t.Errorf("changed: %d %s %s", got.status, got.Reason, got.Message)
	}
	if got := p.get(token, wire.PathObject, "name", name, "stored", "1"); !bytes.Equal(got.body, changed) {
		t.Errorf("changed, stored: %d %s", got.status, got.Message)
	}

	p.shelf.broken = errors.New("s3://secret-bucket: AccessDenied for key AKIA")
	if got := p.get(token, wire.PathObject, "name", name); got.status != 503 || strings.Contains(string(got.body), "secret-bucket") {
		t.Errorf("a broken store: %d %s", got.status, got.body)
	}
	if !strings.Contains(p.log.String(), "secret-bucket") {
		t.Error("the log does not say what is wrong with the store")
	}
}

func TestErasingTakesTheContentAndLeavesWhatVerifies(t *testing.T) {
	p := newPlace(t)
	p.shelf.put(t, sold, today)
	stored := p.shelf.objects[sold.Segment(1)]
	auditor := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	may := p.token("lab", "dpo", wire.Audience)
	p.bind(erases, "shop", "lab/dpo")
	body := func(change func(*wire.Erasure)) io.Reader {
		e := wire.Erasure{Namespace: sold.Namespace, UID: sold.UID, Session: sold.ID, Reason: "request 17 of a customer"}
		change(&e)
		raw, err := json.Marshal(e)
		must(t, err)
		return bytes.NewReader(raw)
	}
	as := func(*wire.Erasure) {}
	for name, test := range map[string]struct {
		token  string
		body   io.Reader
		status int
		says   string
	}{
		"who may only read":         {auditor, body(as), 403, "may not delete sessions.tidewaiter.dev/recording in namespace shop: ask for a RoleBinding in namespace shop to ClusterRole tidewaiter-recordings-eraser"},
		"another namespace":         {may, body(func(e *wire.Erasure) { e.Namespace = "lab" }), 403, "in namespace lab"},
		"no reason":                 {may, body(func(e *wire.Erasure) { e.Reason = " " }), 400, "reason is empty"},
		"a reason of two lines":     {may, body(func(e *wire.Erasure) { e.Reason = "a\nb" }), 400, "one line"},
		"a reason without end":      {may, body(func(e *wire.Erasure) { e.Reason = strings.Repeat("a", 1025) }), 400, "shorten"},
		"a way out":                 {may, body(func(e *wire.Erasure) { e.UID = "../lab" }), 400, "do not name a session"},
		"no namespace":              {may, body(func(e *wire.Erasure) { e.Namespace = "" }), 400, "do not name a session"},
		"a field that is not known": {may, strings.NewReader(`{"namespace":"shop","force":true}`), 400, "the body"},
		"no body":                   {may, strings.NewReader(""), 400, "the body"},
		"no token":                  {"", body(as), 401, ""},
	} {
		if got := p.do(http.MethodPost, test.token, wire.PathErase, test.body); got.status != test.status || !strings.Contains(got.Message, test.says) {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.Message, test.status, test.says)
		}
	}
	if got := p.get(may, wire.PathErase); got.status != 405 || got.header.Get("Allow") != http.MethodPost {
		t.Errorf("by GET: %d", got.status)
	}
	if len(p.shelf.erased) > 0 {
		t.Fatalf("erased: %v", p.shelf.erased)
	}
	if got := p.get(auditor, wire.PathKey, "namespace", "shop", "uid", sold.UID, "session", sold.ID); got.status != 200 {
		t.Errorf("the key before: %d %s", got.status, got.Message)
	}

	if got := p.do(http.MethodPost, may, wire.PathErase, body(as)); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.Message)
	}
	// The token's own name is there, by which the API server's audit log says who asked for it.
	if by := p.shelf.erased[sold]; !strings.HasPrefix(by, "system:serviceaccount:lab:dpo (JTI=") || !strings.HasSuffix(by, "): request 17 of a customer") {
		t.Errorf("erased by %q", by)
	}
	if got := p.do(http.MethodPost, may, wire.PathErase, body(as)); got.status != 410 || got.Reason != wire.ReasonErased {
		t.Errorf("again: %d %s", got.status, got.Reason)
	}
	if got := p.get(auditor, wire.PathObject, "name", sold.Segment(1)); got.status != 410 || got.Reason != wire.ReasonErased || !strings.Contains(got.Message, "stored=1") {
		t.Errorf("a segment: %d %s %s", got.status, got.Reason, got.Message)
	}
	if got := p.get(auditor, wire.PathKey, "namespace", "shop", "uid", sold.UID, "session", sold.ID); got.status != 410 {
		t.Errorf("the key: %d", got.status)
	}
	if got := p.get(auditor, wire.PathObject, "name", sold.Segment(1), "stored", "1"); !bytes.Equal(got.body, stored) {
		t.Errorf("as it is stored: %d %s", got.status, got.Message)
	}
}

func TestListsArePagedAndConfined(t *testing.T) {
	p := newPlace(t)
	var shop []string
	for i := range 7 {
		s := store.Session{Namespace: "shop", UID: "7d9f-uid", ID: fmt.Sprintf("s%d", i)}
		began := today.AddDate(0, 0, -i*200)
		if i == 3 {
			began = today.AddDate(80, 0, 0) // its sidecar's clock was ahead: that hides nothing
		}
		p.shelf.put(t, s, began)
		shop = append(shop, s.Entry(began))
	}
	slices.Sort(shop)
	p.shelf.put(t, tried, today)
	p.shelf.objects["index/notes"] = []byte("not an entry")
	one := p.token("shop", "reader", wire.Audience)
	p.bind(reads, "shop", "shop/reader")
	all := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	for name, test := range map[string]struct {
		token string
		query []string
		want  int // names; or a status
	}{
		"all of the index":                             {all, []string{"prefix", "index/"}, 8},
		"a month of it":                                {all, []string{"prefix", "index/" + today.Format("2006-01"), "limit", "10"}, 2},
		"a namespace of it":                            {one, []string{"prefix", "index/", "namespace", "shop"}, 7},
		"a day of a namespace":                         {one, []string{"prefix", "index/" + today.Format(time.DateOnly) + "/", "namespace", "shop"}, 1},
		"the same by its prefix":                       {one, []string{"prefix", "index/" + today.Format(time.DateOnly) + "/shop/"}, 1},
		"recordings of a namespace":                    {one, []string{"prefix", "recordings/shop/"}, 7},
		"the same by namespace":                        {one, []string{"prefix", "recordings/", "namespace", "shop"}, 7},
		"a session":                                    {one, []string{"prefix", "recordings/shop/7d9f-uid/s1/"}, 1},
		"all recordings":                               {all, []string{"prefix", "recordings/"}, 8},
		"all of the index, by a reader of one":         {one, []string{"prefix", "index/"}, 403},
		"all recordings, by a reader of one":           {one, []string{"prefix", "recordings/"}, 403},
		"the beginning of a namespace's name":          {one, []string{"prefix", "recordings/sh"}, 403},
		"a namespace's name that could go on":          {one, []string{"prefix", "recordings/shop"}, 403},
		"the same, said to be confined":                {one, []string{"prefix", "recordings/l", "namespace", "shop"}, 400},
		"another namespace":                            {one, []string{"prefix", "recordings/lab/"}, 403},
		"another namespace, said to be confined":       {one, []string{"prefix", "recordings/lab/", "namespace", "shop"}, 400},
		"another namespace of the index":               {one, []string{"prefix", "index/", "namespace", "lab"}, 403},
		"another namespace's day, said to be confined": {one, []string{"prefix", "index/" + today.Format(time.DateOnly) + "/lab/", "namespace", "shop"}, 400},
		"the log":                      {one, []string{"prefix", "log/"}, 403},
		"the log, said to be confined": {one, []string{"prefix", "log/", "namespace", "shop"}, 400},
		"keys":                         {all, []string{"prefix", "keys/"}, 400},
		"keys by another way":          {all, []string{"prefix", "log/../keys/"}, 400},
		"everything":                   {all, []string{"prefix", ""}, 400},
		"the beginning of a folder":    {all, []string{"prefix", "k"}, 400},
		"no limit":                     {all, []string{"prefix", "index/", "limit", "0"}, 400},
		"too much":                     {all, []string{"prefix", "index/", "limit", "10001"}, 400},
	} {
		got := p.get(test.token, wire.PathList, test.query...)
		if test.want > 99 {
			if got.status != test.want {
				t.Errorf("%s: %d %s, want %d", name, got.status, got.body, test.want)
			}
			continue
		}
		names, last := p.pages(test.token, test.query...)
		if len(names) != test.want || !last.End {
			t.Errorf("%s: %v %+v, want %d", name, names, last, test.want)
		}
	}

	// Page by page it is the same, and what comes next tells nothing of other namespaces.
	var seen []string
	query := []string{"prefix", "index/", "namespace", "shop", "limit", "2"}
	for pages := 0; pages < 20; pages++ {
		names, last := p.get(one, wire.PathList, query...).names(t)
		if len(names) > 2 || strings.Contains(last.Next, "lab") {
			t.Fatalf("%v %+v", names, last)
		}
		seen = append(seen, names...)
		if last.End {
			break
		}
		query = append(query[:6], "after", last.Next)
	}
	if !slices.Equal(seen, shop) {
		t.Errorf("%v, want %v", seen, shop)
	}

	// A list that breaks off does not look whole.
	p.shelf.broken = errors.New("broken")
	if got, err := p.try(http.MethodGet, all, wire.PathList+"?prefix=recordings/", nil); err == nil && got.status == 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// pages are all names of a list.
func (p *place) pages(token string, query ...string) (all []string, last wire.Line) {
	p.t.Helper()
	for next := query; ; next = append(slices.Clone(query), "after", last.Next) {
		var names []string
		names, last = p.get(token, wire.PathList, next...).names(p.t)
		all = append(all, names...)
		if last.End {
			return all, last
		}
		if last.Next == "" {
			p.t.Fatal("a list was cut off")
		}
	}
}

func TestRightsThatAreTakenAwayAreGoneWithinSeconds(t *testing.T) {
	p := newPlace(t)
	p.shelf.put(t, sold, today)
	token := p.token("shop", "passing", wire.Audience)
	read := func(want int) error {
		if got := p.get(token, wire.PathObject, "name", sold.Segment(1)); got.status != want {
			return fmt.Errorf("%d %s, want %d", got.status, got.Message, want)
		}
		return nil
	}
	must(t, read(403))
	p.bind(reads, "shop", "shop/passing")
	eventually(t, "the right is there", func() error { return read(200) })
	begin := time.Now()
	p.kube.Kubectl(t, "delete", "rolebinding", "-n", "shop", reads+"-passing")
	eventually(t, "the right is gone", func() error { return read(403) })
	p.bind(reads, "shop", "shop/passing")
	eventually(t, "the right is there", func() error { return read(200) })
	p.kube.Kubectl(t, "delete", "serviceaccount", "-n", "shop", "passing")
	eventually(t, "the token is worth nothing", func() error { return read(401) })
	if took := time.Since(begin); took > 45*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestEveryReadIsLoggedAndNoTokenIs(t *testing.T) {
	p := newPlace(t)
	p.shelf.put(t, sold, today)
	token := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	none := p.token("shop", "nobody", wire.Audience)
	p.get(token, wire.PathObject, "name", sold.Segment(1))
	for range 3 {
		p.get(none, wire.PathObject, "name", sold.Segment(1))
	}
	log := p.log.String()
	for _, want := range []string{`"user"="system:serviceaccount:tidewaiter-system:tidewaiter-auditor"`, `"credential"="JTI=`, `"session"="` + sold.ID, `"namespace"="shop"`, `"result"="OK"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	if n := strings.Count(log, "nobody"); n != 1 {
		t.Errorf("who may not is logged %d times, want once while the answer is remembered:\n%s", n, log)
	}
	if strings.Contains(log, token) || strings.Contains(log, strings.Split(token, ".")[2]) {
		t.Error("the log has a token")
	}
	families, err := p.metrics.Gather()
	must(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			counted[key] = m.GetCounter().GetValue()
		}
	}
	if counted["tidewaiter_recordings_requests_total OK Segment"] != 1 || counted["tidewaiter_recordings_requests_total Forbidden Segment"] != 3 || counted["tidewaiter_recordings_read_bytes_total"] < 100 {
		t.Errorf("%v", counted)
	}
}

func TestOneUserCannotTakeAllThereIs(t *testing.T) {
	p := newPlace(t, func(o *audit.Options) { o.PerUser, o.All = 2, 3 })
	p.shelf.put(t, sold, today)
	p.shelf.hold = make(chan struct{})
	release := sync.OnceFunc(func() { close(p.shelf.hold) })
	defer release()
	greedy, other := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience), p.token("shop", "reader", wire.Audience)
	p.bind(reads, "shop", "shop/reader")
	target := wire.PathObject + "?stored=1&name=" + sold.Segment(1)
	var wg sync.WaitGroup
	results := make(chan int, 10)
	send := func(token string) {
		wg.Go(func() {
			a, err := p.try(http.MethodGet, token, target, nil)
			if err != nil {
				t.Error(err)
			}
			results <- a.status
		})
	}
	for range 5 {
		send(greedy)
	}
	for range 3 { // two are held
		if status := <-results; status != 429 {
			t.Errorf("%d, want 429", status)
		}
	}
	send(other)
	eventually(t, "there is no room for a fourth", func() error {
		if a := p.do(http.MethodGet, p.token("shop", "third", wire.Audience), target, nil); a.status != 429 || a.header.Get("Retry-After") == "" {
			return fmt.Errorf("%d %s", a.status, a.Reason)
		}
		return nil
	})
	release()
	wg.Wait()
	for range 3 {
		if status := <-results; status != 200 {
			t.Errorf("%d, want 200", status)
		}
	}
	p.shelf.hold = nil
	if a := p.do(http.MethodGet, greedy, target, nil); a.status != 200 {
		t.Errorf("afterwards: %d", a.status)
	}
}

func TestARequestIsBoundedInTimeAndSize(t *testing.T) {
	p := newPlace(t, func(o *audit.Options) { o.Patience = 200 * time.Millisecond })
	p.shelf.put(t, sold, today)
	token := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	p.shelf.hold = make(chan struct{})
	defer close(p.shelf.hold)
	if a := p.get(token, wire.PathObject, "name", sold.Segment(1)); a.status != 503 {
		t.Errorf("a store that does not answer: %d %s", a.status, a.Message)
	}
	if a, err := p.try(http.MethodGet, strings.Repeat("a.", 30<<10), wire.PathList, nil); err == nil && a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header without end: %d", a.status)
	}
	if a := p.do(http.MethodGet, strings.Repeat("a", 17<<10), wire.PathList, nil); a.Reason != wire.ReasonTokenMalformed {
		t.Errorf("a token longer than any: %d %s", a.status, a.Reason)
	}
}

func TestAServerThatStopsLetsAnswersEnd(t *testing.T) {
	p := newPlace(t)
	sealed := p.shelf.put(t, sold, today)
	token := p.token("tidewaiter-system", "tidewaiter-auditor", wire.Audience)
	if err := p.server.Ready(nil); err != nil {
		t.Error(err)
	}
	p.shelf.hold = make(chan struct{})
	answers := make(chan answered, 1)
	go func() {
		a, err := p.try(http.MethodGet, token, wire.PathObject+"?name="+sold.Segment(1), nil)
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	eventually(t, "the request is being answered", func() error {
		p.shelf.mu.Lock()
		defer p.shelf.mu.Unlock()
		if p.shelf.held == 0 {
			return errors.New("nobody reads")
		}
		return nil
	})
	p.stop()
	eventually(t, "it is not ready", func() error {
		if p.server.Ready(nil) == nil {
			return errors.New("ready")
		}
		return nil
	})
	close(p.shelf.hold)
	if a := <-answers; a.status != 200 || !bytes.Equal(a.body, sealed) {
		t.Errorf("%d %s", a.status, a.Message)
	}
	err := <-p.ended
	p.ended <- err
	must(t, err)
	if a, err := p.try(http.MethodGet, token, wire.PathList, nil); err == nil {
		t.Errorf("after its end: %d", a.status)
	}
}

func TestNobodyIsServedWithoutWhatIsRequired(t *testing.T) {
	for name, o := range map[string]audit.Options{"nothing": {}, "no certificate": {Source: newShelf(), Listen: ":0"}} {
		if _, err := audit.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
