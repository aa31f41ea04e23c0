package functions

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed functions.tsv
var text string

// The modules that are not an extension's: schemas of the server itself.
const (
	core              = "core"
	informationSchema = "information_schema"
)

// The columns of functions.tsv.
const (
	columnModule = iota
	columnName
	columnClass
	columnVersions
	columnVolatility
	columnReason
	columns
)

// list is functions.tsv, read once.
type list struct {
	modules map[string]map[string]Class
	builtin map[string]Class // those of the core
	danger  map[string]Danger
	// patterns are the entries of danger that hold a "*".
	patterns []pattern
	// forms are the classes of calls with so many arguments.
	forms map[form]Class
	// sinks and rows hold names of every module: whoever is called so must be
	// believed to do what the listed function does.
	sinks, rows map[string]bool
}

type form struct {
	name      string
	arguments int
}

type pattern struct {
	head, tail string
	danger     Danger
}

// Danger is what a dangerous function does.
type Danger struct {
	// Class is the feature that a policy must allow.
	Class Class
	// Anywhere: known by its name in any schema, as modules are installed; else it
	// is the function of pg_catalog alone.
	Anywhere bool
}

// loaded reads the list when first asked. What cannot be read is a fault of the
// build, which every test would meet.
var loaded = sync.OnceValue(func() *list {
	l, err := parse(text)
	if err != nil {
		panic(err)
	}
	return l
})

func parse(text string) (*list, error) {
	builtin := make(map[string]Class, strings.Count(text, "\n"+core+"\t"))
	l := &list{
		modules: map[string]map[string]Class{core: builtin}, builtin: builtin,
		danger: map[string]Danger{}, forms: map[form]Class{},
		sinks: map[string]bool{}, rows: map[string]bool{},
	}
	interned := map[string]Class{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) < columnReason || len(fields) > columns {
			return nil, fmt.Errorf("functions.tsv, line %d: %d columns", number, len(fields))
		}
		class := Class(fields[columnClass])
		if known, ok := interned[fields[columnClass]]; ok {
			class = known
		} else if !class.Dangerous() && !class.Harmless() && class != Setting {
			return nil, fmt.Errorf("functions.tsv, line %d: there is no class %q", number, class)
		}
		interned[fields[columnClass]] = class
		if err := l.add(fields[columnModule], fields[columnName], class); err != nil {
			return nil, fmt.Errorf("functions.tsv, line %d: %w", number, err)
		}
	}
	return l, nil
}

func (l *list) add(module, name string, class Class) error {
	if bare, arguments, isForm := strings.Cut(name, "/"); isForm {
		n, err := strconv.Atoi(arguments)
		if err != nil || !class.Dangerous() || module != core {
			return fmt.Errorf("%s: a form is of the core, dangerous, and has a number of arguments", name)
		}
		l.forms[form{bare, n}] = class
		return nil
	}
	if class.Dangerous() {
		d := Danger{class, module != core}
		if head, tail, star := strings.Cut(name, "*"); star {
			l.patterns = append(l.patterns, pattern{head, tail, d})
			return nil
		}
		if other, twice := l.danger[name]; twice && other != d {
			return fmt.Errorf("%s is dangerous in two ways", name)
		}
		l.danger[name] = d
	} else if strings.Contains(name, "*") {
		return fmt.Errorf("%s: only what is refused may be listed by a pattern", name)
	}
	byName := l.modules[module]
	if byName == nil {
		byName = map[string]Class{}
		l.modules[module] = byName
	}
	if _, twice := byName[name]; twice {
		return fmt.Errorf("%s is listed twice", name)
	}
	byName[name] = class
	if class.Sink() {
		l.sinks[name] = true
	}
	if class == Rows {
		l.rows[name] = true
	}
	return nil
}

// Builtin returns the class of a function of pg_catalog.
func Builtin(name string) Class { return loaded().builtin[name] }

// InformationSchema returns the class of a function of information_schema.
func InformationSchema(name string) Class { return loaded().modules[informationSchema][name] }

// Extension returns the class of a function that belongs to the extension of that
// name. An extension that calls itself by the name of a part of the server gains
// nothing by it.
func Extension(extension, name string) Class {
	if extension == core || extension == informationSchema {
		return Unlisted
	}
	return loaded().modules[extension][name]
}

// Form returns the class of a call of a function of pg_catalog with that many
// arguments, where this form differs from what [Builtin] says of the function.
func Form(name string, arguments int) Class { return loaded().forms[form{name, arguments}] }

// DangerOf looks a dangerous function up, first by its own name, then by the
// patterns.
func DangerOf(name string) (Danger, bool) {
	l := loaded()
	if d, ok := l.danger[name]; ok {
		return d, true
	}
	for _, p := range l.patterns {
		if len(name) >= len(p.head)+len(p.tail) && strings.HasPrefix(name, p.head) && strings.HasSuffix(name, p.tail) {
			return p.danger, true
		}
	}
	return Danger{}, false
}

// Sinks reports whether a function of that name, of whatever module, keeps its
// argument or takes a time that depends on it, without being dangerous in itself.
func Sinks(name string) bool { return loaded().sinks[name] }

// ReturnsRows reports whether a function of that name, of whatever module, returns
// as many rows as its arguments say.
func ReturnsRows(name string) bool { return loaded().rows[name] }
