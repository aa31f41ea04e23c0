package main

import (
	"slices"
	"testing"
)

const smaps = `00400000-00c00000 r-xp 00000000 fe:00 77 /bin/tidewaiter-proxy
Size:               8192 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00c00000-00d00000 r--p 00800000 fe:00 77 /bin/tidewaiter-proxy
Anonymous:             4 kB
VmFlags: rd mr mw me sd
00d00000-00e00000 rw-p 00900000 fe:00 77 /bin/tidewaiter-proxy
Anonymous:             0 kB
VmFlags: rd wr mr mw me sd
7f0000000000-7f0000001000 r-xp 00000000 fe:00 78 /lib/libc.so
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
VmFlags: rd mr mw me sd
`

func TestOnlyPagesThatTheFileStillHasAreForgotten(t *testing.T) {
	if got := unwritten([]byte(smaps), "/bin/tidewaiter-proxy"); !slices.Equal(got, []mapping{{0x400000, 0xc00000}}) {
		t.Errorf("got %x", got)
	}
	forgetStart() // and this process goes on
}
