package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `usage: go run ./hack/cluster COMMAND
  up [--outbound HOST:PORT,…]  start the cluster, or do nothing if it runs; the only ways out of it are those named
  down                         end it and remove all that it made
  status                       what runs, how much memory it takes, where it is reached
  kubeconfig                   print the path of a kubeconfig that works from the host
  exec -- COMMAND…             run a command inside the cluster's namespaces
  load FILE.tar…               put images into the cluster
  images                       list the images in the cluster
  forward --service NS/NAME:PORT
                               print a URL on 127.0.0.1 that reaches a Service
  image --ref REF --binary FILE --out FILE.tar [--name NAME] [-- ARG…]
                               pack a static binary into an image`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	command, rest := args[0], args[1:]
	if inner, found := insiders[command]; found {
		return inner(rest)
	}
	if command == "image" {
		return packImage(rest)
	}
	place, err := findPlace()
	if err != nil {
		return err
	}
	provider := choose(ctx, place)
	switch command {
	case "up":
		outbound, err := parseUp(rest)
		if err != nil {
			return err
		}
		return provider.Up(ctx, outbound)
	case "down":
		return provider.Down(ctx)
	case "status":
		return provider.Status(ctx)
	case "kubeconfig":
		path, err := provider.Kubeconfig(ctx)
		if err == nil {
			fmt.Println(path)
		}
		return err
	case "exec":
		if len(rest) < 2 || rest[0] != "--" {
			return errors.New("exec wants: exec -- COMMAND…")
		}
		return provider.Exec(ctx, rest[1:])
	case "load":
		if len(rest) == 0 {
			return errors.New("load wants at least one docker-archive file")
		}
		return provider.Load(ctx, rest)
	case "images":
		return provider.Images(ctx)
	case "forward":
		service, err := parseForward(rest)
		if err != nil {
			return err
		}
		url, err := provider.Forward(ctx, service)
		if err == nil {
			fmt.Println(url)
		}
		return err
	}
	return fmt.Errorf("no command %q\n%s", command, usage)
}

// provider is where the cluster runs: on this machine's kernel, or in kind.
type provider interface {
	Up(ctx context.Context, outbound []target) error
	Down(ctx context.Context) error
	Status(ctx context.Context) error
	Kubeconfig(ctx context.Context) (string, error)
	Exec(ctx context.Context, command []string) error
	Load(ctx context.Context, archives []string) error
	Images(ctx context.Context) error
	Forward(ctx context.Context, service serviceRef) (string, error)
}

func parseUp(args []string) ([]target, error) {
	switch {
	case len(args) == 0:
		return nil, nil
	case len(args) == 2 && args[0] == "--outbound":
		return parseOutbound(args[1])
	case len(args) == 1 && strings.HasPrefix(args[0], "--outbound="):
		return parseOutbound(strings.TrimPrefix(args[0], "--outbound="))
	}
	return nil, errors.New("up wants nothing, or --outbound HOST:PORT[,HOST:PORT…]")
}

func parseForward(args []string) (serviceRef, error) {
	switch {
	case len(args) == 2 && args[0] == "--service":
		return parseService(args[1])
	case len(args) == 1 && strings.HasPrefix(args[0], "--service="):
		return parseService(strings.TrimPrefix(args[0], "--service="))
	}
	return serviceRef{}, errors.New("forward wants --service NAMESPACE/NAME:PORT")
}
