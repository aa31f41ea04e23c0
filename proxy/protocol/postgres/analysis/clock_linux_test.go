package analysis_test

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock is the processor time of this thread: on a machine that does other things as well, it says what a statement costs, where
// the time of day says how long it waited.
func clock() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
