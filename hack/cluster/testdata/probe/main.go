// Command probe runs in the test's pods and tells over HTTP what a pod can and cannot do.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Println("probe was told", os.Args[1:])
		return
	}
	next := make(chan struct{})
	http.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	// stream sends a line and waits for a call of /next before it sends the other: a buffer on the way shows as a hang.
	http.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "line %d\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	})
	http.HandleFunc("GET /next", func(http.ResponseWriter, *http.Request) { next <- struct{}{} })
	http.HandleFunc("GET /write", answer(func(_ context.Context, path string) (string, error) {
		return fmt.Sprint(os.Getuid()), os.WriteFile(path, []byte("kept"), 0o600)
	}))
	http.HandleFunc("GET /lookup", answer(func(ctx context.Context, name string) (string, error) {
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		return strings.Join(addresses, " "), err
	}))
	http.HandleFunc("GET /fetch", answer(func(ctx context.Context, url string) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return string(text), err
	}))
	fmt.Println("probe listens")
	server := http.Server{Addr: ":8080", ReadHeaderTimeout: time.Minute}
	fmt.Println(server.ListenAndServe())
}

// answer is status 502 and the error's text where f fails or takes over two seconds.
func answer(f func(ctx context.Context, what string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		http.DefaultClient.CloseIdleConnections() // each fetch asks the network policies anew
		text, err := f(ctx, r.URL.Query().Get("q"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, text)
	}
}
