package history

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Find returns the session with an ID, in a namespace or, where that is empty, in any. It reads names only.
func Find(ctx context.Context, from store.Source, namespace, id string) (found store.Session, err error) {
	for o, err := range from.List(ctx, store.Index) {
		if err != nil {
			return found, err
		}
		parts := strings.Split(o.Name, "/") // index, day, namespace, UID, session
		if len(parts) != 5 || path.Base(o.Name) != id+".json" || namespace != "" && parts[2] != namespace {
			continue
		}
		s := store.Session{Namespace: parts[2], UID: parts[3], ID: id}
		if found.ID != "" && s != found {
			return found, fmt.Errorf("there are several sessions %s, of pods in %s and %s: choose a namespace with -n", id, found.Namespace, s.Namespace)
		}
		found = s
	}
	if !found.Valid() {
		return found, fmt.Errorf("there is no session %s in the store: kubectl tidewaiter sessions --since 24h -A lists those that are", id)
	}
	return found, nil
}
