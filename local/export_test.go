package local

import (
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Recording returns the options with another recorder.
func (o Options) Recording(by func(dataSource string, d record.Durability) (session.Recorder, error)) Options {
	o.recorder = by
	return o
}
