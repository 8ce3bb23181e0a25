package valkey

import (
	"context"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// takesAtOnce holds the server up for a fifth of a millisecond.
	takesAtOnce = 64
	callsAtOnce = 2
)

type taking struct {
	windows []storage.Window
	fields  []string
	now     time.Time
}

// asked are takes as the script reads them.
func asked(n *names, some []taking) []string {
	args, kept := make([]string, 2, 2+2*len(some)), time.Duration(0)
	text := make([]byte, 8, 8+48*len(some))
	for _, t := range some {
		args = append(args, t.fields...)
		text = append(timeBytes(text, t.now), byte(len(t.windows)))
		for _, w := range t.windows {
			text = doubleBytes(doubleBytes(text, int64(w.Limit)), int64(w.Length))
			kept = max(kept, w.Length+windowSlack)
		}
	}
	doubleBytes(text[:0], kept.Milliseconds()+1)
	args[0], args[1] = n.mark, string(text)
	return args
}

// decide has each take decided by itself.
func (s *Store) decide(n *names, some []taking) []answer[storage.Taken] {
	decided := make([]answer[storage.Taken], len(some))
	numbers, err := s.numbers(n, takeScript, n.windowKeys, asked(n, some))
	for i, t := range some {
		if err == nil && (len(numbers) < 3 || numbers[0] == 0 && len(numbers) < 1+2*len(t.windows)) {
			err = unreadable(fmt.Errorf("%d takes were decided of %d", i, len(some)))
		}
		if err != nil {
			return answers[storage.Taken](len(some), err)
		}
		var used int
		decided[i].a, used = readTaken(t.windows, numbers)
		numbers = numbers[used:]
	}
	return decided
}

// numbers runs a script that answers with numbers alone.
func (s *Store) numbers(n *names, sc *script, keys, args []string) ([]int64, error) {
	reply, err := s.run(context.Background(), n, sc, keys, args...)
	if err != nil {
		return nil, err
	}
	numbers := make([]int64, len(reply))
	for i := range reply {
		if numbers[i], err = reply[i].AsInt64(); err != nil {
			return nil, unreadable(err)
		}
	}
	return numbers, nil
}
