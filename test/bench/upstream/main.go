// Command upstream is a fast model server for the benchmarks: it speaks OpenAI's
// chat completions, answers at once or token by token at a given pace, and keeps a
// ledger of what it gave, so that nobody's usage can be lost unseen.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// What one answer costs, as the ledger and the usage field count it.
const promptTokens = 12

type ledger struct {
	Calls     atomic.Int64
	TokensIn  atomic.Int64
	TokensOut atomic.Int64
}

type server struct {
	tokens int
	pace   time.Duration
	ledger ledger
	unary  []byte
	frame  []byte
	last   []byte
}

func main() {
	tokens := flag.Int("tokens", 20, "tokens per answer")
	pace := flag.Duration("pace", 0, "time between two streamed tokens")
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatalf("upstream: %v", err)
	}
	fmt.Printf("listening %s\n", listener.Addr())
	s := newServer(*tokens, *pace)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	// The floor passes the path through, so that it is asked for /chat.
	mux.HandleFunc("POST /chat", s.chat)
	mux.HandleFunc("GET /ledger", s.tell)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(web.Serve(listener))
}

func newServer(tokens int, pace time.Duration) *server {
	s := &server{tokens: tokens, pace: pace}
	text := ""
	for range tokens {
		text += " token"
	}
	usage := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, promptTokens, tokens, promptTokens+tokens)
	s.unary = []byte(`{"id":"c-1","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}],"usage":` + usage + `}`)
	s.frame = []byte(`data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}` + "\n\n")
	s.last = []byte(`data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],"usage":` + usage + "}\n\ndata: [DONE]\n\n")
	return s
}

func (s *server) chat(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	var req struct {
		Stream bool `json:"stream"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		http.Error(w, "bad json", http.StatusBadRequest)
		return
	}
	if !req.Stream {
		s.count()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(s.unary)))
		_, _ = w.Write(s.unary)
		return
	}
	s.stream(w, r)
}

func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	// The headers go out with the first token, as those of most model servers do.
	ticker := time.NewTicker(max(s.pace, time.Microsecond))
	defer ticker.Stop()
	for range s.tokens {
		if s.pace > 0 {
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
		if _, err := w.Write(s.frame); err != nil {
			return
		}
		_ = control.Flush()
	}
	_, _ = w.Write(s.last)
	s.count()
}

func (s *server) count() {
	s.ledger.Calls.Add(1)
	s.ledger.TokensIn.Add(promptTokens)
	s.ledger.TokensOut.Add(int64(s.tokens))
}

func (s *server) tell(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]int64{
		"calls": s.ledger.Calls.Load(), "tokensIn": s.ledger.TokensIn.Load(), "tokensOut": s.ledger.TokensOut.Load(),
	})
}
