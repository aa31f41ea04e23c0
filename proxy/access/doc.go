// Package access is the vocabulary that every protocol, stage and recorder
// shares: who asks (Identity), what they ask for (Operation), what was decided
// (Decision), how a refusal reads (Denial) and what happened (Event).
//
// It must stay neutral: it imports the standard library alone and knows no
// protocol, no policy language, no recording format and no Kubernetes type.
//
// The zero value of everything that permits is a refusal: the zero Effect is
// Deny, the zero Decision denies, the zero Access is AccessUnknown.
package access
