package main

import "golang.org/x/sys/unix"

// hideMemory keeps what is in memory, credentials among it, from other processes of the same user and from disks: no core
// dump, no ptrace, no /proc/PID/mem (PR_SET_DUMPABLE and RLIMIT_CORE, prctl(2) and getrlimit(2)).
func hideMemory() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)                   // a kernel without it hides nothing, and all else works as well
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 0}) // lowering is always allowed
}
