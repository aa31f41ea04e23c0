// Package functions is the list of PostgreSQL's functions: for each function of
// PostgreSQL 14 to 18, and of the modules that come with it, what a call of it does.
// The list is functions.tsv, for people to read and judge; its head says what the
// classes mean.
//
// A name that is not in the list has no class, and whoever asks must refuse it: the
// zero Class permits nothing. The package knows names alone. It knows neither what
// a database holds nor what a policy allows, and never calls anything.
package functions
