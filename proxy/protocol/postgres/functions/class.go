package functions

// Class says what a call of a function does. The zero value is that of a function
// that nobody has looked at.
type Class string

// The classes of functions that run. functions.tsv says what each one means.
const (
	Unlisted   Class = ""
	Pure       Class = "pure"
	Declassify Class = "declassify"
	Rows       Class = "rows"
	Session    Class = "session"
	Catalog    Class = "catalog"
	Server     Class = "server"
	Internal   Class = "internal"
	Store      Class = "store"
	Delay      Class = "delay"
	Setting    Class = "setting"
)

// harmless lists the classes of functions that return nothing but what their
// arguments, the session, or descriptions of the database and the server hold.
var harmless = map[Class]bool{
	Pure: true, Declassify: true, Rows: true, Session: true, Catalog: true, Server: true, Internal: true,
	Store: true, Delay: true,
}

// Harmless reports whether a function of this class may be called by whoever may
// see its arguments, and returns nothing that they do not carry. Store and Delay
// are harmless as long as no argument is protected, see [Class.Sink].
func (c Class) Harmless() bool { return harmless[c] }

// Sink reports whether a harmless function keeps its argument for a later
// statement, or takes a time that the argument says.
func (c Class) Sink() bool { return c == Store || c == Delay || c == Setting }

// Dangerous reports whether the class is the name of a feature that a policy must
// allow by name.
func (c Class) Dangerous() bool { return c != "" && c[0] >= 'A' && c[0] <= 'Z' }

// Classes returns the classes that functions of the list have, in no order.
func Classes() []Class {
	seen := map[Class]bool{}
	var classes []Class
	for _, byName := range loaded().modules {
		for _, class := range byName {
			if !seen[class] {
				seen[class] = true
				classes = append(classes, class)
			}
		}
	}
	return classes
}
