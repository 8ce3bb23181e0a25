package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// talk is one session: a question after the other, each with a streamed answer. What it
// heard whole must be in the tenant's history afterwards.
type talk struct {
	session string
	heard   []message // in the order of the conversation
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// between two of the beginnings of conversations: clients don't all come at once.
const between = 8 * time.Millisecond

// streamer gives each stream a connection of its own, as so many clients would.
var streamer = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true,
	DialContext:       (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
}}

// converse begins n conversations and tells when all have had their first token.
func (l *load) converse(n int) {
	var begun sync.WaitGroup
	for range n {
		t := &talk{session: uuid.NewString()}
		l.talks = append(l.talks, t)
		begun.Add(1)
		l.wg.Go(func() {
			first := sync.OnceFunc(begun.Done)
			defer first()
			for l.ctx.Err() == nil {
				if !l.turn(t, first) {
					return
				}
			}
		})
		time.Sleep(between)
	}
	if n > 0 {
		begun.Wait()
		fmt.Println("open")
	}
}

// turn isn't bound to the load's context: an answer that has begun is heard to its end.
// It tells whether the conversation can go on.
func (l *load) turn(t *talk, begun func()) bool {
	question := fmt.Sprintf("question %d of %s", len(t.heard)/2, t.session)
	said, err := stage.ChatBy(context.Background(), streamer, l.url, l.key, t.session, question, onWrite(begun))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Streams++
	switch {
	case said.Status != http.StatusOK:
		l.count.Refused++
		if err == nil {
			err = fmt.Errorf("a stream was refused with status %d: %s", said.Status, said.Text)
		}
	case err != nil:
		l.count.Cut++
	case said.Code != "":
		l.count.Broken++
		err = fmt.Errorf("a stream ended with the error %s", said.Code)
	default:
		t.heard = append(t.heard, message{"user", question}, message{"assistant", said.Text})
		return true
	}
	l.why(err)
	return false
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

// compare reads the history of every conversation and counts what isn't there.
func (l *load) compare() {
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for _, t := range l.talks {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			lost, err := l.lost(t)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.count.Messages += len(t.heard)
			l.count.Lost += lost
			if err != nil {
				l.why(err)
			}
		})
	}
	wg.Wait()
}

// lost counts the messages of a conversation that the tenant doesn't tell of, in their
// order. A history that can't be read has lost all.
func (l *load) lost(t *talk) (int, error) {
	if len(t.heard) == 0 {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, l.url+"/chat/"+t.session+"/history?limit=200", nil)
	if err != nil {
		return len(t.heard), err
	}
	req.Header.Set("Authorization", "Bearer "+l.key)
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return len(t.heard), err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return len(t.heard), err
	}
	var kept []message // newest first
	if err := json.Unmarshal(body, &kept); err != nil {
		return len(t.heard), fmt.Errorf("history with status %d: %s", res.StatusCode, body)
	}
	lost := 0
	for _, want := range t.heard {
		at := len(kept) - 1
		for at >= 0 && kept[at] != want {
			at--
		}
		if at < 0 {
			lost++
			continue
		}
		kept = kept[:at]
	}
	return lost, nil
}
