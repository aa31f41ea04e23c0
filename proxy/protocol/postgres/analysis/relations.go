package analysis

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

type resourceKey struct {
	schema, name string
	how          access.Access
}

// candidates are what a relation's name may stand for.
type candidates struct {
	relations []*catalog.Relation
	// temp: a temporary table, or one of this transaction, without tagged values.
	temp bool
	// unknown: something that the catalog does not show.
	unknown bool
}

// resolve finds what a name may stand for, as the server would. Where the session
// changed its search_path, an unqualified name may be any relation of that name.
func (a *analyzer) resolve(schema, name string) candidates {
	var c candidates
	switch {
	case schema == "pg_temp" || strings.HasPrefix(schema, "pg_temp_"):
		c.temp = a.session.temp[name]
		c.unknown = !c.temp
		return c
	case schema != "":
		if r := a.cat.Lookup(schema, name); r != nil {
			c.relations = []*catalog.Relation{r}
		}
	case a.session.pathChanged && a.ownPath() == nil:
		c.relations = a.cat.Named(name)
	default:
		for _, s := range a.path() {
			if r := a.cat.Lookup(s, name); r != nil {
				c.relations = []*catalog.Relation{r}
				break
			}
		}
	}
	c.temp = a.session.temp[name]
	c.unknown = len(c.relations) == 0 && !c.temp
	return c
}

// use records that the statement uses a relation, and returns what it may be.
func (a *analyzer) use(rv *pg.RangeVar, how access.Access) candidates {
	a.seen[rv] = true
	c := a.resolve(rv.GetSchemaname(), rv.GetRelname())
	a.refer(rv, how, c)
	for _, r := range c.relations {
		a.resource(r.Schema, r.Name, how, r.Tags)
		a.system(r, how)
		a.fire(r, how)
		if len(r.Tags) > 0 || r.Reads {
			a.out.Touches = true
		}
	}
	if len(c.relations) == 0 {
		if f := secrets[rv.GetRelname()]; f != "" && !c.temp {
			a.feature(f, rv.GetRelname())
		}
		schema := rv.GetSchemaname()
		if schema == "" && c.temp {
			schema = "pg_temp"
		}
		a.resource(schema, rv.GetRelname(), how, nil)
	}
	if c.unknown || a.hidden(c) {
		a.out.Touches = a.out.Touches || a.cat.AnyTagged()
	}
	return c
}

// hidden reports whether DDL of the open transaction may have changed what the
// name stands for.
func (a *analyzer) hidden(c candidates) bool {
	if !a.session.stale {
		return false
	}
	for _, r := range c.relations {
		if r.Schema != "pg_catalog" && r.Schema != "information_schema" {
			return true
		}
	}
	return len(c.relations) == 0
}

func (a *analyzer) resource(schema, name string, how access.Access, tags []string) {
	key := resourceKey{schema, name, how}
	r := a.resources[key]
	if r == nil {
		r = &access.Resource{Schema: schema, Name: name, Access: how}
		a.resources[key] = r
	}
	r.Tags = catalog.Union(r.Tags, tags)
}

// secrets are system relations that show passwords, connection strings or
// statements, and what reading them means.
var secrets = func() map[string]string {
	m := map[string]string{"pg_largeobject": LargeObject}
	for name := range wordSet(`pg_authid pg_shadow pg_statistic pg_statistic_ext_data pg_user_mapping pg_user_mappings
		pg_subscription pg_prepared_statements pg_cursors pg_hba_file_rules pg_file_settings pg_ident_file_mappings
		pg_stat_wal_receiver pg_backend_memory_contexts user_mapping_options _pg_user_mappings`) {
		m[name] = SecretCatalog
	}
	return m
}()

// system reports what using a relation of the system means.
func (a *analyzer) system(r *catalog.Relation, how access.Access) {
	if r.Schema != "pg_catalog" && r.Schema != "information_schema" {
		if r.Name == "pg_stat_statements" && !a.cat.AnyTagged() {
			a.feature(SecretCatalog, r.Name)
		}
		return
	}
	if f := secrets[r.Name]; f != "" {
		a.feature(f, r.Name)
	}
	if how == access.AccessRead {
		return
	}
	if r.Name == "pg_settings" { // its rule calls set_config
		a.feature(ParserSetting, "a write to pg_settings")
		a.out.Effects = append(a.out.Effects, Effect{Kind: SetPath})
		return
	}
	a.feature(ServerControl, "a write to "+r.Schema+"."+r.Name)
}
