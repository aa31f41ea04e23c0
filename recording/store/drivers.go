package store

import (
	// The stores that a URL may name beside folders: s3://, gs://, azblob://, and mem:// for tests.
	_ "gocloud.dev/blob/azureblob"
	_ "gocloud.dev/blob/gcsblob"
	_ "gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob"
)
