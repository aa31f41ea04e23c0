// Package mask replaces protected PostgreSQL values by harmless ones of the same type.
//
// A masker is a pure function of a type, a wire format and a value. It works on the bytes of one DataRow column, of one array element, of one
// composite field or, through CopyMasker, of a COPY stream, and it always leaves something that a driver can still parse as the column's type.
//
// Three rules hold everywhere. What is not understood is hidden: an unknown type, a malformed value or a strategy that does not fit becomes the
// fixed redaction of its type, or NULL. NULL stays NULL, so maskers only ever see values. A length that a value claims is never allocated; output
// grows with bytes that were really received.
//
// The package must not know sessions, policies, catalogs or connections, and imports the standard library only: whoever builds a row plan says
// which type a column has and which Spec applies to it.
//
// Text values are taken to be in an encoding in which ASCII bytes stand for themselves (UTF-8, LATINx, EUC_xx), never SJIS, BIG5, GBK, UHC or
// GB18030, whose second bytes may look like quotes or backslashes. The caller pins client_encoding accordingly.
package mask
