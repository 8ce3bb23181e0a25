// Command services is what a tenant of the end-to-end tests calls: a model that knows
// function calling and does whatever it is told, a model of embeddings that takes its
// time, and a shop that wants a key.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

func main() {
	model := flag.String("model", "127.0.0.1:0", "address of the models")
	shop := flag.String("shop", "127.0.0.1:0", "address of the shop")
	pace := flag.Duration("pace", 0, "time that each call for embeddings takes")
	flag.Parse()
	ended := make(chan error)
	go func() { ended <- serve(*model, models(*pace)) }()
	go func() { ended <- serve(*shop, newShop()) }()
	log.Fatal(<-ended)
}

func serve(address string, h http.Handler) error {
	server := &http.Server{Addr: address, Handler: h, ReadHeaderTimeout: 5 * time.Second}
	return server.ListenAndServe()
}

// models passes chats on to the obedient model, which listens on loopback alone.
func models(pace time.Duration) http.Handler {
	obedient := aifake.Start()
	obedient.Script(aifake.Obedient)
	origin, err := url.Parse(obedient.Origin)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/embeddings", &embedder{pace: pace})
	mux.Handle("/", &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(origin)
			r.Out.Header.Del("Accept-Encoding")
		},
	})
	return mux
}
