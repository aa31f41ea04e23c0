package reader

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/controllers/audit/wire"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// What one answer may have, in bytes: more than any object of ours.
const (
	maxObject = 32 << 20
	maxLine   = 4 << 10
)

// Open reads an object into memory: a segment as its sidecar sealed it. Of a session that was erased, that is its stored bytes:
// encrypted, and Identity says that the key is gone.
func (r *Reader) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	body, err := r.read(ctx, name, false)
	if errors.Is(err, store.ErrErased) {
		body, err = r.read(ctx, name, true)
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

// OpenStored reads the very bytes of an object into memory.
func (r *Reader) OpenStored(ctx context.Context, name string) (io.ReadCloser, error) {
	body, err := r.read(ctx, name, true)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (r *Reader) read(ctx context.Context, name string, stored bool) ([]byte, error) {
	query := url.Values{"name": {name}}
	if stored {
		query.Set("stored", "1")
	}
	return r.ask(ctx, http.MethodGet, wire.PathObject, query, nil, name)
}

// List goes through the objects whose names begin with prefix, in the order of their names, page by page.
func (r *Reader) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		query := url.Values{"prefix": {prefix}, "limit": {strconv.Itoa(wire.MaxPage)}}
		if r.o.Within != "" {
			query.Set("namespace", r.o.Within)
		}
		for {
			page, err := r.ask(ctx, http.MethodGet, wire.PathList, query, nil, prefix)
			if err != nil {
				yield(store.Object{}, err)
				return
			}
			next, more, err := lines(page, yield)
			switch {
			case err != nil:
				yield(store.Object{}, fmt.Errorf("listing %s: %w", prefix, err))
				return
			case !more:
				return
			case next <= query.Get("after"):
				yield(store.Object{}, fmt.Errorf("listing %s: the operator's pages do not go on after %q", prefix, next))
				return
			}
			query.Set("after", next)
		}
	}
}

// lines yields the objects of a page, and says whether there is another and after what.
func lines(page []byte, yield func(store.Object, error) bool) (next string, more bool, err error) {
	in := bufio.NewScanner(bytes.NewReader(page))
	in.Buffer(nil, maxLine)
	for in.Scan() {
		var l wire.Line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return "", false, fmt.Errorf("a line cannot be read: %w", err)
		}
		switch {
		case l.End:
			return "", false, nil
		case l.Next != "":
			return l.Next, true, nil
		case l.Name == "":
			return "", false, errors.New("a line has no name")
		case !yield(store.Object{Name: l.Name, Size: l.Size, Time: l.Time}, nil):
			return "", false, nil
		}
	}
	if err := in.Err(); err != nil {
		return "", false, err
	}
	return "", false, errors.New("the list was cut off")
}

// Identity is nil: the operator decrypts. The error is store.ErrErased where there is nothing to decrypt with.
func (r *Reader) Identity(ctx context.Context, s store.Session) (age.Identity, error) {
	query := url.Values{"namespace": {s.Namespace}, "uid": {s.UID}, "session": {s.ID}}
	body, err := r.ask(ctx, http.MethodGet, wire.PathKey, query, nil, s.Folder())
	if err != nil {
		return nil, err
	}
	var key wire.Key
	if err := json.Unmarshal(body, &key); err != nil {
		return nil, fmt.Errorf("%s: the operator's answer cannot be read: %w", s.Folder(), err)
	}
	if key.Erased {
		return nil, fmt.Errorf("%s: %w", s.Folder(), store.ErrErased)
	}
	return nil, nil
}

// Erase has the content of a session erased, for good. The error is store.ErrErased where it was before, store.ErrNotFound where there
// is none.
func (r *Reader) Erase(ctx context.Context, s store.Session, reason string) error {
	body, err := json.Marshal(wire.Erasure{Namespace: s.Namespace, UID: s.UID, Session: s.ID, Reason: reason})
	if err != nil {
		return err
	}
	_, err = r.ask(ctx, http.MethodPost, wire.PathErase, nil, body, s.Folder())
	return err
}
