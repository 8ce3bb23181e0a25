package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

const (
	toolRuns = 20_000
	// toolParams are what a small tool gets.
	toolParams = `{"tool_name":"tag_chunk_docs","params":{"content":"One apple, two pears."}}`
)

// tools measures what running a tool costs beside the tool: the time of POST
// /tools/execute with a tool that does next to nothing, state on disk, less that of GET
// /health over the same connection, which has the same way through the door.
func (b *bench) tools(ctx context.Context) error {
	disk := onDisk("")
	disk.tools = true
	p, _, err := b.serve(ctx, "127.0.0.1:1", disk)
	if err != nil {
		return err
	}
	defer func() { _ = p.stop(10 * time.Second) }()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 8<<10)
	head := "Host: " + benchHost + "\r\nAuthorization: Bearer " + benchKey + "\r\n"
	run := []byte("POST /tools/execute HTTP/1.1\r\n" + head + "Content-Length: " + strconv.Itoa(len(toolParams)) + "\r\n\r\n" + toolParams)
	bare := []byte("GET /health HTTP/1.1\r\n" + head + "\r\n")
	var took, floor []time.Duration
	for i := range toolRuns {
		for _, what := range []struct {
			request []byte
			into    *[]time.Duration
		}{{run, &took}, {bare, &floor}} {
			began := time.Now()
			if _, err := conn.Write(what.request); err != nil {
				return err
			}
			status, err := response(r)
			if err != nil || status != 200 {
				return fmt.Errorf("%s: status %d: %w", bytes.SplitN(what.request, []byte(" HTTP"), 2)[0], status, err)
			}
			if i >= toolRuns/10 {
				*what.into = append(*what.into, time.Since(began))
			}
		}
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.Set("tool_dispatch_p50_ms", ms(median(took)-median(floor)))
	b.Note("a tool over HTTP: p50 %.3f ms, p99 %.3f ms; GET /health p50 %.3f ms", ms(median(took)), ms(took[len(took)*99/100]), ms(median(floor)))
	return nil
}
