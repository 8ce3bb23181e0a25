// Command fakecloudflare serves the fake: for the local cluster, end-to-end tests, and
// whoever wants to try Cloudflare bindings without an account.
//
//	go run ./hack/fakecloudflare/cmd/fakecloudflare -listen 127.0.0.1:0 -state state.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fakecloudflare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var opts fakecloudflare.Options
	flags := flag.NewFlagSet("fakecloudflare", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	tokenFile := flags.String("token-file", "", "file of the first account's root token; it is made and written if it isn't there")
	flags.StringVar(&opts.StateFile, "state", "", "file that keeps the state over restarts; empty keeps it in memory")
	flags.DurationVar(&opts.Lag.List, "list-lag", 0, "how late lists show what was made or deleted")
	flags.DurationVar(&opts.Lag.Vectorize, "vectorize-lag", 0, "how late Vectorize applies a mutation")
	flags.DurationVar(&opts.Lag.KV, "kv-lag", 0, "how long a read of a key is repeated")
	flags.IntVar(&opts.Rate.Limit, "rate-limit", 0, "calls per token in 5 minutes; 0 is Cloudflare's 1200, -1 none")
	flags.BoolVar(&opts.NoSchema, "no-schema", false, "don't check calls against Cloudflare's document")
	flags.Func("account", "id of an account, 32 hex digits, with :free for the free plan; repeat it for more", func(v string) error {
		id, plan, _ := strings.Cut(v, ":")
		if plan != "" && plan != "free" {
			return fmt.Errorf("there is no plan %q, only free", plan)
		}
		opts.Accounts = append(opts.Accounts, fakecloudflare.Account{ID: id, Free: plan == "free"})
		return nil
	})
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(opts.Accounts) == 0 {
		opts.Accounts = []fakecloudflare.Account{{ID: fakecloudflare.DefaultAccount}}
	}
	if err := readToken(*tokenFile, &opts.Accounts[0]); err != nil {
		return err
	}
	server, err := fakecloudflare.New(opts)
	if err != nil {
		return err
	}
	defer server.Close()
	return serve(ctx, server, opts, *listen, *tokenFile)
}

// readToken takes the root token from its file, so that it survives a restart.
func readToken(file string, a *fakecloudflare.Account) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the token: %w", err)
	}
	a.RootToken = strings.TrimSpace(string(text))
	return nil
}

func serve(ctx context.Context, server *fakecloudflare.Server, opts fakecloudflare.Options, listen, tokenFile string) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	fmt.Printf("address http://%s\n", listener.Addr())
	for n, a := range opts.Accounts {
		token := server.RootToken(a.ID)
		if n == 0 && tokenFile != "" {
			if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
				return fmt.Errorf("writing the token: %w", err)
			}
			token = "in " + tokenFile
		}
		fmt.Printf("account %s token %s\n", a.ID, token)
	}
	h := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	saved := make(chan error, 1)
	go func() { saved <- keep(ctx, server) }()
	select {
	case err = <-served:
		return fmt.Errorf("serving: %w", err)
	case err = <-saved:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if h.Shutdown(grace) != nil {
		err = errors.Join(err, h.Close()) // a stream that won't end
	}
	return errors.Join(err, server.Save(grace))
}

// keep saves what has changed, at most every second, until it is time to go.
func keep(ctx context.Context, server *fakecloudflare.Server) error {
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-server.Changes():
		}
		if err := server.Save(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}
