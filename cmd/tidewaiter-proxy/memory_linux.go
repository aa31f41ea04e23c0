package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hideMemory keeps what is in memory, credentials among it, from other processes of the same user and from disks: no core
// dump, no ptrace, no /proc/PID/mem (PR_SET_DUMPABLE and RLIMIT_CORE, prctl(2) and getrlimit(2)).
func hideMemory() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)                   // a kernel without it hides nothing, and all else works as well
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 0}) // lowering is always allowed
}

// forgetStart gives back the pages of the program's own file that were needed to start: tables of types, initializers, and
// what the kernel mapped around them. They are most of what is resident, and those that are needed again come back by
// themselves.
func forgetStart() {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return // nothing is lost but memory
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range unwritten(smaps, self) {
		// Clean pages of a private mapping of a file are read from the file again, and not 2 MiB for each that is needed
		// (madvise(2)).
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_NOHUGEPAGE)
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

type mapping struct{ start, end uintptr }

// unwritten returns the mappings of a file that cannot be written and of which no page ever was: to forget one that was,
// such as what the linker relocates, would undo the write. The format is proc_pid_smaps(5).
func unwritten(smaps []byte, file string) []mapping {
	var out []mapping
	var now *mapping
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) >= 5 && !strings.HasSuffix(fields[0], ":") {
			now = mappingOf(fields, file)
			continue
		}
		if now == nil || len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "Anonymous:": // pages that are no longer the file's
			if fields[1] != "0" {
				now = nil
			}
		case "VmFlags:": // the last line of a mapping
			out = append(out, *now)
			now = nil
		}
	}
	return out
}

// mappingOf reads the first line of a mapping, and returns nil for one that is not looked for.
func mappingOf(fields []string, file string) *mapping {
	if len(fields) != 6 || fields[5] != file || (fields[1] != "r-xp" && fields[1] != "r--p") {
		return nil
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return nil
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil || end <= start {
		return nil
	}
	return &mapping{uintptr(start), uintptr(end)}
}
