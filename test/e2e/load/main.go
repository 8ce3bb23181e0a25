// Command load asks a tenant again and again until its standard input ends, and
// prints what came of it. With -streams it also keeps that many conversations going,
// each an answer after the other, says "open" once all have begun, and reads at the end
// what the tenant has kept of each. It runs inside the cluster's network: the forward to
// the host tries a refused Service again, which would hide what a client in the cluster
// sees.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Count is what is printed.
type Count struct {
	Sent, Failed int
	// Gap is the longest time without an answer while requests failed.
	Gap time.Duration
	// Streams that were begun, how many were refused, how many had no final event, and
	// how many ended with an error.
	Streams, Refused, Cut, Broken int
	// Messages that should be kept, and how many of them aren't.
	Messages, Lost int
	// Why holds a few of the failures.
	Why []string
}

func main() {
	url := flag.String("url", "", "the tenant's API")
	streams := flag.Int("streams", 0, "conversations that are kept going")
	flag.Parse()
	// The key comes by the environment, so that no process list shows it.
	l := start(*url, os.Getenv("KEY"))
	l.converse(*streams)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := json.NewEncoder(os.Stdout).Encode(l.stop()); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// load has four workers that ask: half take a connection of their own for every request, as
// new clients do, half keep theirs.
type load struct {
	url, key string
	ctx      context.Context // ends when no more is asked
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	count    Count
	last     time.Time // the last answer
	broken   bool      // a request failed since
	talks    []*talk
}

func start(url, key string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{url: url, key: key, ctx: ctx, cancel: cancel, last: time.Now()}
	for i := range 4 {
		client := &http.Client{
			Timeout: 30 * time.Second,
			// A connection that was on its way to a pod that has just gone is given up soon.
			Transport: &http.Transport{DisableKeepAlives: i%2 == 0, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext},
		}
		l.wg.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				l.note(ask(client, url, key))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return l
}

// ask isn't bound to the load's context: a request in flight when the load ends is
// still waited for.
func ask(client *http.Client, url, key string) error {
	body := fmt.Sprintf(`{"sessionId":%q,"message":"Is anyone there?","stream":false}`, uuid.NewString())
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/chat", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return nil
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Sent++
	if err == nil {
		if l.broken {
			l.count.Gap = max(l.count.Gap, time.Since(l.last))
		}
		l.last, l.broken = time.Now(), false
		return
	}
	l.count.Failed++
	l.broken = true
	l.why(err)
}

// why is called with the lock held.
func (l *load) why(err error) {
	if len(l.count.Why) < 5 {
		l.count.Why = append(l.count.Why, err.Error())
	}
}

func (l *load) stop() Count {
	l.cancel()
	l.wg.Wait()
	l.compare()
	return l.count
}
