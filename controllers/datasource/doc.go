// Package datasource says in a DataSource's status whether it can be used: whether its spec makes sense, the Secrets that
// it refers to are there, the database answers to them, and running sidecars have it.
//
// It asks the database itself, with the credential, over a connection of a few seconds. It must not know sidecars, nor
// hold a credential any longer than one look takes, nor put one into a message, an error or a log line.
package datasource
