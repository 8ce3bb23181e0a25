package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

// cloud is the fake Cloudflare, and a tally of the calls that it got.
type cloud struct {
	url    string
	tokens []string
	ids    []string
	stop   func()

	mu sync.Mutex
	// calls by what they do.
	calls map[string]int
	// lists are when the first page of a kind was asked for, by account and kind.
	lists map[string][]time.Time
	// indexes are when a Vectorize index's metadata indexes were read, by its name.
	indexes map[string][]time.Time
	// changed is where a change of a bucket is told, by its name.
	changed map[string]chan time.Time
	refused int // 429
	wrong   map[string]int
}

func newCloud(s size) (*cloud, error) {
	c := &cloud{calls: map[string]int{}, lists: map[string][]time.Time{}, indexes: map[string][]time.Time{}, changed: map[string]chan time.Time{}, wrong: map[string]int{}}
	o := fakecloudflare.Options{NoSchema: true, LogLimit: 1000, Rate: fakecloudflare.Rate{Limit: 1200, Window: s.scaled(5 * time.Minute)}}
	for i := range s.accounts {
		c.ids = append(c.ids, fmt.Sprintf("%032x", i+1))
		c.tokens = append(c.tokens, fmt.Sprintf("scale-root-token-of-account-%012d", i))
		o.Accounts = append(o.Accounts, fakecloudflare.Account{ID: c.ids[i], RootToken: c.tokens[i]})
	}
	fake, err := fakecloudflare.New(o)
	if err != nil {
		return nil, fmt.Errorf("making the fake: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: c.tally(fake), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	c.url = "http://" + listener.Addr().String() + "/client/v4"
	c.stop = func() {
		_ = server.Close()
		fake.Close()
	}
	return c, nil
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (c *cloud) tally(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, a := time.Now(), &answered{w, http.StatusOK}
		next.ServeHTTP(a, r)
		account, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/client/v4/accounts/"), "/")
		c.count(r, account, path, a.status, at)
	})
}

func (c *cloud) count(r *http.Request, account, path string, status int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := r.Method + " " + class(path)
	c.calls[what]++
	switch {
	case status == http.StatusTooManyRequests:
		c.refused++
	case status >= 400:
		c.wrong[fmt.Sprintf("%s: %d", what, status)]++
	}
	query := r.URL.Query()
	first := query.Get("cursor") == "" && (query.Get("page") == "" || query.Get("page") == "1")
	switch name, index := strings.CutSuffix(path, "/metadata_index/list"); {
	case index:
		name = name[strings.LastIndex(name, "/")+1:]
		c.indexes[name] = append(c.indexes[name], at)
	case r.Method == http.MethodGet && first && kindOf[path] != "":
		key := account + " " + kindOf[path]
		c.lists[key] = append(c.lists[key], at)
	case r.Method == http.MethodPatch && strings.HasPrefix(path, "r2/buckets/") && status < 300:
		if told := c.changed[strings.TrimPrefix(path, "r2/buckets/")]; told != nil {
			told <- time.Now()
		}
	}
}

// kindOf are the paths of lists.
var kindOf = map[string]string{
	"storage/kv/namespaces": "KV", "r2/buckets": "R2", "vectorize/v2/indexes": "Vectorize", "tokens": "APIToken",
}

// class is a path without the names in it.
func class(path string) string {
	for prefix := range kindOf {
		rest, under := strings.CutPrefix(path, prefix+"/")
		if !under || rest == "verify" || rest == "permission_groups" {
			continue
		}
		_, action, deeper := strings.Cut(rest, "/")
		if deeper {
			return prefix + "/{}/" + action
		}
		return prefix + "/{}"
	}
	return path
}

// counted copies the tally.
func (c *cloud) counted() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.calls))
	for what, n := range c.calls {
		out[what] = n
	}
	return out
}

// awaitChange tells when the bucket is changed next.
func (c *cloud) awaitChange(bucket string) <-chan time.Time {
	told := make(chan time.Time, 8)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed[bucket] = told
	return told
}

// complain is an error if the fake refused calls: within its budget nobody is refused.
func (c *cloud) complain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused > 0 {
		return fmt.Errorf("the fake refused %d calls as too many", c.refused)
	}
	if len(c.wrong) > 0 {
		return errors.New("the fake refused calls: " + fmt.Sprint(c.wrong))
	}
	return nil
}
