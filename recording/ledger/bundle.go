package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// appendEntry adds an entry to a bundle, as C2SP tlog-tiles has it: its size in 16 bits, and it.
func appendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) == 0 || len(entry) > MaxLeaf {
		return nil, fmt.Errorf("ledger: an entry of %d bytes: it must have 1 to %d", len(entry), MaxLeaf)
	}
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...), nil
}

// parseBundle returns the first n entries of a bundle, which share its memory.
func parseBundle(bundle []byte, n int) ([][]byte, error) {
	entries := make([][]byte, 0, n)
	for range n {
		if len(bundle) < 2 {
			return nil, errors.New("ledger: a bundle has fewer entries than it must have")
		}
		size := int(binary.BigEndian.Uint16(bundle))
		if bundle = bundle[2:]; size > len(bundle) {
			return nil, errors.New("ledger: the last entry of a bundle is cut off")
		}
		entries, bundle = append(entries, bundle[:size:size]), bundle[size:]
	}
	return entries, nil
}
