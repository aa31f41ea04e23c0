//go:build !linux

package analysis_test

import "time"

var started = time.Now()

// clock is the time of day where no thread's own is to be had.
func clock() time.Duration { return time.Since(started) }
