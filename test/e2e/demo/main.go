// Command demo is `make up`: the product on a real cluster on this machine, one
// tenant from config/samples, one real chat, and what to do next.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

const (
	namespace = "demo"
	tenant    = "minimal"
	sample    = "config/samples/tenant-minimal.yaml"
	question  = "Our office in Lisbon opens at nine. The office in Oslo opens at eight. When does the office in Oslo open?"
)

func main() {
	outbound := flag.String("outbound", "", "host:port pairs, with commas between them, that pods may reach outside the cluster, for example 127.0.0.1:11434")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *outbound); err != nil {
		fmt.Fprintln(os.Stderr, "make up:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, outbound string) error {
	s, err := stage.Raise(ctx, stage.Options{Out: os.Stdout, Outbound: outbound})
	if err != nil {
		return err
	}
	fmt.Printf("==> kubectl apply -n %s -f %s\n", namespace, sample)
	manifest, err := os.ReadFile(filepath.Join(s.Root(), sample))
	if err != nil {
		return err
	}
	if err := s.Apply(ctx, namespace, string(manifest)); err != nil {
		return err
	}
	if err := s.Ready(ctx, namespace, tenant, 2*time.Minute); err != nil {
		return err
	}
	key, err := s.Key(ctx, namespace, tenant, "default")
	if err != nil {
		return err
	}
	url, err := s.URL(ctx, namespace, tenant)
	if err != nil {
		return err
	}
	fmt.Printf("==> one chat\n\nyou:    %s\ntenant: ", question)
	said, err := stage.Chat(ctx, url, key, "", question, os.Stdout)
	if err != nil {
		return err
	}
	if said.Status != 200 || said.Code != "" || said.Text == "" {
		return fmt.Errorf("the tenant answered with status %d, error %q: %s", said.Status, said.Code, said.Text)
	}
	fmt.Printf(next, namespace, tenant, s.Kubeconfig(), url, s.KubectlPath())
	return nil
}

// next takes the namespace, the tenant, the kubeconfig, the URL and kubectl.
const next = `

That answer was quoted by the built-in model, which needs no account. It came from a pod, through a Service:

  export KUBECONFIG=%[3]s
  alias kubectl=%[5]s
  kubectl get tenants -A

Ask it yourself:

  KEY=$(kubectl get secret tenant-%[2]s-keys -n %[1]s -o jsonpath='{.data.default}' | base64 -d)
  curl -N %[4]s/chat -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
    -d '{"sessionId":"7f1c9c9e-7d0a-4f0e-9a3c-2b1d5e6f7a8b","message":"Tea is served at four. When is tea served?"}'

Connect a real model:

  a server on this machine   make up OUTBOUND=127.0.0.1:11434, then config/samples/tenant-ollama.yaml
  an OpenAI-compatible URL   make up OUTBOUND=api.example.com:443, then the same sample with your address and key
  Cloudflare Workers AI      make up OUTBOUND=gateway.ai.cloudflare.com:443, then config/samples/tenant-workersai.yaml

make down ends the cluster and leaves nothing behind.
`
