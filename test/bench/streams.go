package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

// streamed is the outcome of streams opened at once.
type streamed struct {
	first  []time.Duration // from the request to the first token
	tokens int
	cut    int // streams that ended without all their tokens and a final event
	peak   float64
}

// openStreams opens n streams, a little apart so that the dial isn't what is
// measured, and reads each to its end.
func openStreams(t target, n, tokens int, apart time.Duration, watch *process) streamed {
	var (
		out streamed
		mu  sync.Mutex
		wg  sync.WaitGroup
	)
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if mib, err := watch.rss(); err == nil {
					out.peak = max(out.peak, mib)
				}
			}
		}
	}()
	for range n {
		wg.Go(func() {
			first, seen, whole := readStream(t.addr, t.request())
			mu.Lock()
			defer mu.Unlock()
			out.tokens += seen
			if !whole || seen != tokens {
				out.cut++
				return
			}
			out.first = append(out.first, first)
		})
		time.Sleep(apart)
	}
	wg.Wait()
	close(stop)
	<-watched
	return out
}

var (
	tokenMark  = []byte(" token")
	doneMarks  = [][]byte{[]byte("data: [DONE]"), []byte(`"done":true`)}
	errorMark  = []byte("event: error")
	httpStatus = []byte("HTTP/1.1 200")
)

// readStream sends one request and reads its event stream.
func readStream(addr string, request []byte) (first time.Duration, tokens int, whole bool) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, 0, false
	}
	defer func() { _ = conn.Close() }()
	begin := time.Now()
	if _, err := conn.Write(request); err != nil {
		return 0, 0, false
	}
	r := bufio.NewReaderSize(conn, 2<<10)
	failed := false
	for line := 0; ; line++ {
		text, err := r.ReadSlice('\n')
		if line == 0 && !bytes.HasPrefix(text, httpStatus) {
			return first, tokens, false
		}
		switch {
		case bytes.HasPrefix(text, errorMark):
			failed = true
		case bytes.Contains(text, tokenMark):
			if tokens == 0 {
				first = time.Since(begin)
			}
			tokens++
		case bytes.Contains(text, doneMarks[0]) || bytes.Contains(text, doneMarks[1]):
			return first, tokens, !failed
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return first, tokens, false
		}
	}
}
