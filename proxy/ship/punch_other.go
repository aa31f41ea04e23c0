//go:build !linux

package ship

import "errors"

// punch is not possible here: sidecars run on Linux.
func punch(string, int64, int64) error { return errors.ErrUnsupported }
