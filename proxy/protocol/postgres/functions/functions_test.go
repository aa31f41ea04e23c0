package functions

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// entry is a line of the list.
type entry [columns]string

func (e entry) reason() string { return e[columnReason] }

func (e entry) versions(t *testing.T) (first, last int) {
	t.Helper()
	from, to, isRange := strings.Cut(e[columnVersions], "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || first < 14 || last > 18 || first > last {
		t.Errorf("%s: versions %q", e[columnName], e[columnVersions])
	}
	return first, last
}

func entries(t *testing.T) (list []entry) {
	t.Helper()
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			var e entry
			copy(e[:], strings.Split(line, "\t"))
			list = append(list, e)
		}
	}
	return list
}

func entryOf(module, name string) (found entry, listed bool) {
	prefix := "\n" + module + "\t" + name + "\t"
	_, after, listed := strings.Cut(text, prefix)
	line, _, _ := strings.Cut(prefix[1:]+after, "\n")
	copy(found[:], strings.Split(line, "\t"))
	return found, listed
}

func TestEachLineIsInOrderAndComplete(t *testing.T) {
	list := entries(t)
	if len(list) < 3700 {
		t.Fatalf("%d lines", len(list))
	}
	for _, e := range list {
		name := e[columnModule] + "." + e[columnName]
		if e[columnVersions] != "any" {
			e.versions(t)
		}
		if !slices.Contains([]string{"immutable", "stable", "volatile", "-"}, e[columnVolatility]) {
			t.Errorf("%s: volatility %q", name, e[columnVolatility])
		}
		class := Class(e[columnClass])
		if e.reason() == "" && (class.Dangerous() || class == Store || class == Delay || class == Setting || class == Declassify) {
			t.Errorf("%s is %s, and no reason is given", name, class)
		}
	}
	sorted := slices.IsSortedFunc(list, func(a, b entry) int {
		if (a[columnModule] == core) != (b[columnModule] == core) {
			if a[columnModule] == core {
				return -1
			}
			return 1
		}
		return slices.Compare(a[:2], b[:2])
	})
	if !sorted {
		t.Error("the core comes first; then modules and names are in order")
	}
}

func TestNothingHarmlessBearsTheNameOfSomethingDangerous(t *testing.T) {
	for _, e := range entries(t) {
		d, dangerous := DangerOf(e[columnName])
		switch class := Class(e[columnClass]); {
		case strings.ContainsAny(e[columnName], "*/"):
		case class.Harmless() && dangerous:
			t.Errorf("%s is %s, and %s by its name", e[columnName], class, d.Class)
		case class.Dangerous() && (!dangerous || d.Class != class):
			t.Errorf("%s is %s, but found as %q", e[columnName], class, d.Class)
		}
	}
}

func TestNamesAreFoundWhereTheyBelong(t *testing.T) {
	for _, test := range []struct{ got, want Class }{
		{Builtin("upper"), Pure},
		{Builtin("count"), Declassify},
		{Builtin("unnest"), Rows},
		{Builtin("now"), Session},
		{Builtin("pg_get_viewdef"), Catalog},
		{Builtin("pg_relation_size"), Server},
		{Builtin("array_typanalyze"), Internal},
		{Builtin("nextval"), Store},
		{Builtin("pg_sleep"), Delay},
		{Builtin("set_config"), Setting},
		{Builtin("uuidv7"), Session},
		{Builtin("pg_read_file"), "File"},
		{Form("ts_rewrite", 2), "DynamicSQL"},
		{Form("ts_rewrite", 3), Unlisted},
		{InformationSchema("_pg_truetypid"), Catalog},
		{Extension("hstore", "akeys"), Pure},
		{Extension("pgstattuple", "pgstattuple"), Server},
		{Extension("pg_surgery", "heap_force_kill"), "ServerControl"},
		// What nobody has looked at.
		{Builtin("no_such_function"), Unlisted},
		{Builtin("akeys"), Unlisted},
		{Builtin("pg_sleep_with_anything"), Unlisted},
		{Builtin("lo_*"), Unlisted},
		{Builtin("ts_rewrite/2"), Unlisted},
		{Extension("hstore", "upper"), Unlisted},
		{Extension("no_such_module", "akeys"), Unlisted},
		{Extension("core", "upper"), Unlisted},
		{Extension("information_schema", "_pg_truetypid"), Unlisted},
	} {
		if test.got != test.want {
			t.Errorf("%q instead of %q", test.got, test.want)
		}
	}
	if Unlisted.Harmless() || Unlisted.Dangerous() || Unlisted.Sink() || Setting.Harmless() || Class("File").Harmless() {
		t.Error("a class permits more than it should")
	}
}

func TestDangerIsKnownByNameAndByPattern(t *testing.T) {
	for name, want := range map[string]Danger{
		"pg_read_file":                   {"File", false},
		"lo_anything":                    {"LargeObject", false},
		"pg_stat_reset_something_new":    {"ServerControl", false},
		"pg_restore_a_new_kind_of_stats": {"SideEffect", false},
		"dblink":                         {"ForeignData", true},
		"http_post":                      {"ForeignData", true},
		"heap_force_freeze":              {"ServerControl", true},
	} {
		if got, ok := DangerOf(name); !ok || got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, name := range []string{"upper", "", "lo", "pg_restore_stats", "https"} {
		if d, ok := DangerOf(name); ok {
			t.Errorf("%q: %v", name, d)
		}
	}
	if !Sinks("set_config") || !Sinks("isn_weak") || !Sinks("set_limit") || Sinks("upper") || !ReturnsRows("svals") || ReturnsRows("upper") {
		t.Error("sinks or functions that return rows")
	}
}

func TestAListThatCannotBeReadIsAFault(t *testing.T) {
	for _, line := range []string{
		"core\tupper\tpure\t14-18",
		"core\tupper\tharmless\t14-18\timmutable\t",
		"core\tupper\t\t14-18\timmutable\t",
		"core\tup*\tpure\t14-18\timmutable\t",
		"core\tupper/1\tpure\t14-18\timmutable\t",
		"core\tupper/x\tFile\t14-18\timmutable\t",
		"core\tupper\tpure\t14-18\timmutable\t\nhstore\tupper\tpure\t14-18\timmutable\t\ncore\tupper\tpure\t14-18\timmutable\t",
		"core\tread\tFile\t14-18\timmutable\t\nhstore\tread\tLock\t14-18\timmutable\t",
		"core\tupper\tpure\t14-18\timmutable\ta\tb",
	} {
		if _, err := parse(line); err == nil {
			t.Errorf("%q is read", line)
		}
	}
}

func TestTheListTakesLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 700_000 {
		t.Errorf("%d bytes on the heap", grown)
	} else {
		t.Logf("%d bytes on the heap, %d in the binary", grown, len(text))
	}
	runtime.KeepAlive(l)
}

func BenchmarkTheListIsRead(b *testing.B) {
	for b.Loop() {
		if _, err := parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAFunctionIsLookedUp(b *testing.B) {
	for b.Loop() {
		Builtin("upper")
		DangerOf("upper")
	}
}
