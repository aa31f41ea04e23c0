package corpus

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// serverLog keeps what the server logs between two looks, to tell what reached it.
type serverLog struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced at each write
}

func newServerLog() *serverLog { return &serverLog{written: make(chan struct{})} }

func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(p)
}

// take waits for a marker, which the caller has had logged, and returns and forgets everything up to it. The log comes through
// a pipe, so that it may be behind what the server has answered.
func (l *serverLog) take(ctx context.Context, marker string) (string, error) {
	for {
		l.mu.Lock()
		if i := bytes.Index(l.text.Bytes(), []byte(marker)); i >= 0 {
			text := string(l.text.Next(i + len(marker)))
			l.mu.Unlock()
			return text, nil
		}
		written := l.written
		l.mu.Unlock()
		select {
		case <-written:
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for the server to log %s: %w", marker, ctx.Err())
		}
	}
}
