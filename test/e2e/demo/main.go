// Command demo is `make up`: the product on a real cluster on this machine, one
// tenant from config/samples, one with all that Cloudflare offers on a stand-in for it,
// a real chat with each, and what to do next.
package main

import (
	"context"
	_ "embed"
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
	minimal   = "minimal"
	sample    = "config/samples/tenant-minimal.yaml"
	question  = "Our office in Lisbon opens at nine. The office in Oslo opens at eight. When does the office in Oslo open?"

	cloud = "cloud"
	// account exists at the stand-in alone.
	account  = "0123456789abcdef0123456789abcdef"
	greeting = "Hello, model! Who pays for you?"
)

//go:embed tenant-cloud.yaml
var cloudManifest string

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
	// Its pods start while the next one is prepared.
	if err := applyCloud(ctx, s); err != nil {
		return err
	}
	url, err := chat(ctx, s, minimal, question)
	if err != nil {
		return err
	}
	if err := documents(ctx, s, url); err != nil {
		return err
	}
	cloudURL, err := chat(ctx, s, cloud, greeting)
	if err != nil {
		return err
	}
	fmt.Printf("==> kubectl get cloudflarebindings -n %s\n\n", namespace)
	bindings, err := s.Kubectl(ctx, "get", "cloudflarebindings", "-n", namespace)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", bindings)
	fmt.Printf(next, namespace, minimal, s.Kubeconfig(), url, s.KubectlPath(), cloud, cloudURL, stage.CloudflareNamespace)
	return nil
}

// applyCloud makes a tenant of the stand-in for Cloudflare.
func applyCloud(ctx context.Context, s *stage.Stage) error {
	cloudflare, err := s.Cloudflare(ctx, []string{account})
	if err != nil {
		return err
	}
	if err := cloudflare.Account(ctx, namespace, "cloudflare", account); err != nil {
		return err
	}
	fmt.Printf("==> kubectl apply -n %s -f test/e2e/demo/tenant-cloud.yaml\n", namespace)
	return s.Apply(ctx, namespace, cloudManifest)
}

// chat asks a tenant once it is Ready, and returns its URL.
func chat(ctx context.Context, s *stage.Stage, tenant, message string) (string, error) {
	if err := s.Ready(ctx, namespace, tenant, 2*time.Minute); err != nil {
		return "", err
	}
	key, err := s.Key(ctx, namespace, tenant, "default")
	if err != nil {
		return "", err
	}
	url, err := s.URL(ctx, namespace, tenant)
	if err != nil {
		return "", err
	}
	fmt.Printf("==> one chat with tenant %s\n\nyou:    %s\ntenant: ", tenant, message)
	said, err := stage.Chat(ctx, url, key, "", message, os.Stdout)
	if err != nil {
		return "", err
	}
	if said.Status != 200 || said.Code != "" || said.Text == "" {
		return "", fmt.Errorf("tenant %s answered with status %d, error %q: %s", tenant, said.Status, said.Code, said.Text)
	}
	fmt.Print("\n\n")
	return url, nil
}

// next takes the namespace, the first tenant, the kubeconfig, its URL, kubectl, the
// second tenant, its URL and the stand-in's namespace.
const next = `
Nothing of the first tenant needs an account: its answers were quoted, of the conversation and of its document. The second
one's went through an AI Gateway, with an API token made for this tenant alone; the account is played by a stand-in in
namespace %[8]s, not by Cloudflare. All came from pods, through their Services:

  export KUBECONFIG=%[3]s
  alias kubectl=%[5]s
  kubectl get tenants,cfa,cfb -A

A page to try the first one, once you have given it the key:

  KEY=$(kubectl get secret tenant-%[2]s-keys -n %[1]s -o jsonpath='{.data.default}' | base64 -d); echo $KEY
  %[4]s/

Or ask by hand, in a stream, of a document of your own, or as OpenAI's clients do with the base URL %[4]s/v1:

  curl -N %[4]s/chat -H "Authorization: Bearer $KEY" \
    -d '{"sessionId":"7f1c9c9e-7d0a-4f0e-9a3c-2b1d5e6f7a8b","message":"Tea is served at four. When is tea served?"}'
  curl '%[4]s/ingest?docId=readme' -H "Authorization: Bearer $KEY" -H 'Content-Type: text/markdown' --data-binary @README.md
  curl %[4]s/search -H "Authorization: Bearer $KEY" -d '{"query":"How do I uninstall it?"}'
  curl -N %[4]s/v1/chat/completions -H "Authorization: Bearer $KEY" \
    -d '{"stream":true,"messages":[{"role":"user","content":"When may guests sail?"}],"enigma":{"useRag":true}}'

  The other one is %[7]s, with the key of secret tenant-%[6]s-keys.

Connect a real model:

  a server on this machine   make up OUTBOUND=127.0.0.1:11434, then config/samples/tenant-ollama.yaml
  an OpenAI-compatible URL   make up OUTBOUND=api.example.com:443, then the same sample with your address and key
  Cloudflare Workers AI      make up OUTBOUND=gateway.ai.cloudflare.com:443,api.cloudflare.com:443, then
                             config/samples/tenant-workersai.yaml

make down ends the cluster and leaves nothing behind.
`
