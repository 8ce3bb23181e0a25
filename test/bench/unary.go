package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// target is a server under load: where it is, and the bytes of the next request.
type target struct {
	addr    string
	request func() []byte
}

// load is the outcome of a run of unary requests.
type load struct {
	ok     int64
	failed int64
	took   time.Duration
}

// hammer keeps conns connections busy with unary requests until the time is over.
// The client is bare, so that the cores it shares with the server go to the server.
func hammer(t target, conns int, length time.Duration) (load, error) {
	var (
		out load
		wg  sync.WaitGroup
		mu  sync.Mutex
		err error
	)
	begin := time.Now()
	end := begin.Add(length)
	for range conns {
		wg.Go(func() {
			ok, failed, e := requests(t, end)
			mu.Lock()
			defer mu.Unlock()
			out.ok, out.failed = out.ok+ok, out.failed+failed
			if e != nil {
				err = e
			}
		})
	}
	wg.Wait()
	out.took = time.Since(begin)
	return out, err
}

func requests(t target, end time.Time) (ok, failed int64, err error) {
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 8<<10)
	for time.Now().Before(end) {
		if _, err := conn.Write(t.request()); err != nil {
			return ok, failed, fmt.Errorf("sending a request: %w", err)
		}
		status, err := response(r)
		if err != nil {
			return ok, failed, fmt.Errorf("reading an answer: %w", err)
		}
		if status == 200 {
			ok++
		} else {
			failed++
		}
	}
	return ok, failed, nil
}

var contentLength = []byte("content-length:")

// response reads one answer with a Content-Length and returns its status.
func response(r *bufio.Reader) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("no status line: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, err
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("an answer with status %d has no content-length", status)
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return status, err
}
