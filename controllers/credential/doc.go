// Package credential reads the Secrets that DataSources name, from their owners'
// namespaces and nowhere else: credentials, certificate authorities, client
// certificates, and certificates for listeners.
//
// Each Secret is watched by its name, which a Role can grant for that one name;
// nothing lists or watches the Secrets of a namespace or of the cluster. A change
// is told within moments.
//
// It must not know who uses what it reads. What it returns stays in memory; its
// errors name Secrets and keys and never values.
package credential
