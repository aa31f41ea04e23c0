// Package ddl has other sessions change the database's definitions at every place between two messages of a client, and demands that
// no protected value reaches it. All of it is in the tests, which reach a real proxy by its address. It must not know the product's
// packages.
package ddl
