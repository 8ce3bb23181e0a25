package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

const hitRuns = 5000

// hits measures what a search costs that was answered before: POST /search with an answer,
// state on disk, over one connection. The model's ledger tells that it wasn't asked again.
func (b *bench) hits(ctx context.Context) error {
	model, err := start(ctx, b.model)
	if err != nil {
		return err
	}
	defer func() { _ = model.stop(time.Second) }()
	disk := onDisk("")
	disk.documents = true
	p, _, err := b.serve(ctx, model.addr, disk)
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
	ask := func(path, body string) error {
		_, err := conn.Write([]byte("POST " + path + " HTTP/1.1\r\nHost: " + benchHost + "\r\nAuthorization: Bearer " + benchKey +
			"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body))
		if err != nil {
			return err
		}
		status, err := response(r)
		if err == nil && status != 200 {
			err = errors.New("status " + strconv.Itoa(status))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
	if err := ask("/ingest", `{"docId":"refunds","text":"Orders over 50 euros are refunded within 30 days."}`); err != nil {
		return err
	}
	var took []time.Duration
	for range hitRuns {
		began := time.Now()
		if err := ask("/search", `{"query":"What is the refund policy for orders over 50 euros?"}`); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	asked, err := ledger(ctx, model.addr)
	if err != nil {
		return err
	}
	if asked.Calls != 1 {
		return fmt.Errorf("%d searches asked the model %d times, where once is enough", hitRuns, asked.Calls)
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.Set("search_hit_p50_ms", ms(median(took)))
	b.Note("a search out of the cache: p50 %.3f ms, p99 %.3f ms; %d searches, 1 call of the model", ms(median(took)), ms(took[len(took)*99/100]), hitRuns)
	return nil
}
