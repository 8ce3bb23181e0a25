//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// load asks a tenant again and again: half the workers on connections of their own
// for every request, as new clients do, half on kept ones.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	count  count
	last   time.Time // the last answer
	broken bool      // a request failed since
}

type count struct {
	sent, failed int
	// gap is the longest time without an answer while requests failed.
	gap time.Duration
	// why holds a few of the failures.
	why []string
}

func startLoad(d door) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, last: time.Now()}
	for i := range 4 {
		client := &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{DisableKeepAlives: i%2 == 0},
		}
		l.wg.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				l.note(request(client, d))
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return l
}

// request isn't bound to the load's context: a request in flight when the load ends
// is still waited for.
func request(client *http.Client, d door) error {
	body := fmt.Sprintf(`{"sessionId":%q,"message":"Is anyone there?","stream":false}`, uuid.NewString())
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, d.url+"/chat", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.key)
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
	l.count.sent++
	if err == nil {
		if l.broken {
			l.count.gap = max(l.count.gap, time.Since(l.last))
		}
		l.last, l.broken = time.Now(), false
		return
	}
	l.count.failed++
	l.broken = true
	if len(l.count.why) < 5 {
		l.count.why = append(l.count.why, err.Error())
	}
}

func (l *load) stop() count {
	l.cancel()
	l.wg.Wait()
	return l.count
}
