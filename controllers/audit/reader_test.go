package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/tidewaiter/tidewaiter/controllers/audit"
	"github.com/tidewaiter/tidewaiter/plugin/reader"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// person is somebody who may make tokens of the auditors' account, and reach the operator.
func (p *place) person(name string, roles ...string) *rest.Config {
	p.t.Helper()
	p.kube.Apply(p.t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: tidewaiter-ca, namespace: tidewaiter-system}, data: {ca.crt: "+fmt.Sprintf("%q", p.bundle)+"}}")
	for _, role := range roles {
		p.kube.Apply(p.t, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %s-%s, namespace: tidewaiter-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %s}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %s}]`, name, role, role, name))
	}
	return p.kube.User(p.t, name)
}

// source opens the recordings, and closes them with the test.
func (p *place) source(o reader.Options) *reader.Reader {
	p.t.Helper()
	r, err := reader.New(p.t.Context(), o)
	must(p.t, err)
	p.t.Cleanup(func() { must(p.t, r.Close()) })
	return r
}

// content is all of an object.
func content(t *testing.T, in io.ReadCloser, err error) []byte {
	t.Helper()
	must(t, err)
	defer in.Close()
	body, err := io.ReadAll(in)
	must(t, err)
	return body
}

func TestAReaderIsASourceOfRecordings(t *testing.T) {
	p := newPlace(t)
	sealed := p.shelf.put(t, sold, today)
	p.shelf.put(t, tried, today)
	stored := p.shelf.objects[sold.Segment(1)]
	ctx := t.Context()
	r := p.source(reader.Options{Config: p.person("ada", "tidewaiter-auditor"), URL: p.url})
	var source store.Source = r

	in, err := source.Open(ctx, sold.Segment(1))
	if !bytes.Equal(content(t, in, err), sealed) {
		t.Error("a segment is not as it was sealed")
	}
	in, err = r.OpenStored(ctx, sold.Segment(1))
	if !bytes.Equal(content(t, in, err), stored) {
		t.Error("a segment is not as it is stored")
	}
	if key, err := source.Identity(ctx, sold); key != nil || err != nil {
		t.Errorf("identity %v, %v", key, err)
	}
	var names []string
	for o, err := range source.List(ctx, store.Index) {
		must(t, err)
		names = append(names, o.Name)
		if o.Size == 0 || o.Time.IsZero() {
			t.Errorf("%+v", o)
		}
	}
	if want := []string{tried.Entry(today), sold.Entry(today)}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if _, err := source.Open(ctx, sold.Segment(2)); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), sold.Segment(2)) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := source.Open(ctx, sold.Key()); err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "is served") {
		t.Errorf("a key: %v", err)
	}
	if err := r.Erase(ctx, sold, "why"); err == nil || !strings.Contains(err.Error(), "tidewaiter-recordings-eraser") {
		t.Errorf("erasing by who reads: %v", err)
	}
	if log := p.log.String(); strings.Contains(log, "ada") || !strings.Contains(log, "system:serviceaccount:tidewaiter-system:tidewaiter-auditor") {
		t.Errorf("read as somebody else:\n%s", log)
	}

	// Of a session that was erased there is what is stored, and word that there is no key.
	e := p.source(reader.Options{Config: p.person("eve", "tidewaiter-eraser", "tidewaiter-recordings-access"), URL: p.url, As: "tidewaiter-system/tidewaiter-eraser"})
	if _, err := e.Open(ctx, sold.Segment(1)); err == nil || !strings.Contains(err.Error(), "may not get") {
		t.Errorf("reading by who erases: %v", err)
	}
	must(t, e.Erase(ctx, sold, "request 17"))
	if err := e.Erase(ctx, sold, "request 17"); !errors.Is(err, store.ErrErased) {
		t.Errorf("again: %v", err)
	}
	in, err = source.Open(ctx, sold.Segment(1))
	if !bytes.Equal(content(t, in, err), stored) {
		t.Error("an erased segment is not as it is stored")
	}
	if _, err := source.Identity(ctx, sold); !errors.Is(err, store.ErrErased) {
		t.Errorf("identity of an erased session: %v", err)
	}
}

func TestAReaderOfOneNamespaceSeesThatOne(t *testing.T) {
	p := newPlace(t)
	p.shelf.put(t, sold, today)
	p.shelf.put(t, tried, today)
	p.token("shop", "reader")
	p.bind("tidewaiter-recordings-reader", "shop", "shop/reader")
	p.kube.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: read-as-reader, namespace: shop}
rules: [{apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [reader], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read-as-reader, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: read-as-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: olga}]`)
	olga := p.person("olga", "tidewaiter-recordings-access")
	for within, want := range map[string]string{"shop": "", "": "in all namespaces", "lab": "in namespace lab"} {
		r := p.source(reader.Options{Config: olga, URL: p.url, As: "shop/reader", Within: within})
		var names []string
		var err error
		for o, e := range r.List(t.Context(), store.Index) {
			if names, err = append(names, o.Name), e; e != nil {
				break
			}
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || want == "" && (err != nil || !slices.Equal(names, []string{sold.Entry(today)})) {
			t.Errorf("within %q: %v, %v", within, names, err)
		}
	}
}

func TestAReaderThatCannotReadSaysWhatIsMissing(t *testing.T) {
	p := newPlace(t)
	p.shelf.put(t, sold, today)
	ada, mallory := p.person("ada", "tidewaiter-auditor"), p.person("mallory")
	half := p.person("half", "tidewaiter-eraser")
	for name, test := range map[string]struct {
		o    reader.Options
		says string
	}{
		"nobody who may make tokens":   {reader.Options{Config: mallory, URL: p.url}, "you may not make tokens for service account tidewaiter-system/tidewaiter-auditor: ask for a RoleBinding in namespace tidewaiter-system to Role tidewaiter-auditor, or name an account of yours with --as-reader"},
		"another account":              {reader.Options{Config: ada, URL: p.url, As: "tidewaiter-system/default"}, "may not make tokens for service account tidewaiter-system/default"},
		"an account that is not there": {reader.Options{Config: p.kube.Config, URL: p.url, As: "shop/nope"}, "there is no service account shop/nope"},
		"a name that is none":          {reader.Options{Config: ada, URL: p.url, As: "auditor", AsFlag: "--as-eraser"}, "--as-eraser auditor: write it as namespace/name"},
		"no certificates":              {reader.Options{Config: half, URL: p.url, As: "tidewaiter-system/tidewaiter-eraser"}, "you may not read ConfigMap tidewaiter-system/tidewaiter-ca"},
		"no operator there":            {reader.Options{Config: p.kube.Config, URL: p.url, Namespace: "lab", As: "tidewaiter-system/tidewaiter-auditor"}, "there is no ConfigMap lab/tidewaiter-ca"},
		"clear text":                   {reader.Options{Config: ada, URL: "http://127.0.0.1:1"}, "write it as https://host:port"},
		"a URL with a password":        {reader.Options{Config: ada, URL: "https://a:b@127.0.0.1:1"}, "write it as https://host:port"},
	} {
		r, err := reader.New(t.Context(), test.o)
		if err == nil {
			_ = r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}

	// Whoever answers there instead of the operator is shown no token.
	var asked atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	r := p.source(reader.Options{Config: ada, URL: other.URL})
	if _, err := r.Open(t.Context(), sold.Segment(1)); err == nil || !strings.Contains(err.Error(), "who answers is not the operator") || asked.Load() > 0 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
}

func TestAReaderWaitsItsTurnAndEndsWhenTold(t *testing.T) {
	p := newPlace(t, func(o *audit.Options) { o.PerUser = 1 })
	sealed := p.shelf.put(t, sold, today)
	r := p.source(reader.Options{Config: p.person("ada", "tidewaiter-auditor"), URL: p.url})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			in, err := r.Open(t.Context(), sold.Segment(1))
			if err != nil {
				t.Error(err)
				return
			}
			if body, err := io.ReadAll(in); err != nil || !bytes.Equal(body, sealed) {
				t.Errorf("%d bytes, %v", len(body), err)
			}
		})
	}
	wg.Wait()
	p.shelf.broken = errors.New("broken")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	if _, err := r.Open(ctx, sold.Segment(1)); err == nil || time.Since(begin) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}
