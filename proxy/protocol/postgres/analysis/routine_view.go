package analysis

import "github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"

// ViewTags returns the tags that each column of a view carries, by the view's
// query, whose names the server wrote as they are seen under an empty search_path.
// It reports false where that is not certain. It serves as [catalog.Options.Views].
func ViewTags(query string, cat *catalog.Snapshot, trusted []string) (columns [][]string, certain bool) {
	a := &analyzer{
		cat: cat, trusted: trustedNames(trusted), body: besides(&catalog.Routine{}, nil),
		session: newSession(&State{PathChanged: true}), // functions in it run under whatever path the session has
	}
	defer func() {
		if recover() != nil { // a defect: what the server attests counts
			columns, certain = nil, false
		}
	}()
	statements, ok := a.parseBody(query)
	if !ok || len(statements) != 1 {
		return nil, false
	}
	s := a.analyze(statements[0])
	if s.Kind != KindSelect || s.Outputs == nil || len(s.Inner) > 0 || len(s.Effects) > 0 || len(s.PredicateTags) > 0 {
		return nil, false // what it compares could be made to tell of itself
	}
	for _, f := range s.Features {
		if f.Name != BulkSelect {
			return nil, false
		}
	}
	for _, o := range s.Outputs {
		columns = append(columns, o.Tags)
	}
	return columns, true
}
