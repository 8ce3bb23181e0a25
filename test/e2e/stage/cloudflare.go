package stage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"text/template"
)

// Where the stand-in for Cloudflare runs.
const (
	CloudflareNamespace = "cloudflare-stand-in"
	cloudflareImage     = "localhost/enigma-fakecloudflare"
	cloudflarePort      = 8787
)

var (
	//go:embed cloudflare.yaml
	cloudflareManifest string
	//go:embed account.yaml
	accountManifest string
)

// Cloudflare is a stand-in for it, running in the cluster.
type Cloudflare struct {
	// URL of the stand-in for pods: the API is at /client/v4, AI Gateway at /v1, R2's S3
	// at /_r2/{account}.
	URL    string
	stage  *Stage
	tokens map[string]string
}

// Cloudflare runs a stand-in for Cloudflare with these accounts, 32 hexadecimal digits
// each. Flags are of hack/fakecloudflare/cmd/fakecloudflare.
func (s *Stage) Cloudflare(ctx context.Context, accounts []string, flags ...string) (*Cloudflare, error) {
	tag, err := s.Image(ctx, "./hack/fakecloudflare/cmd/fakecloudflare", cloudflareImage)
	if err != nil {
		return nil, err
	}
	s.step("a stand-in for Cloudflare, in namespace %s", CloudflareNamespace)
	manifest, err := fill(cloudflareManifest, map[string]any{
		"Namespace": CloudflareNamespace, "Image": cloudflareImage + ":" + tag, "Port": cloudflarePort, "Accounts": accounts, "Flags": flags,
	})
	if err != nil {
		return nil, err
	}
	if err := s.Apply(ctx, CloudflareNamespace, manifest); err != nil {
		return nil, err
	}
	if _, err := s.Kubectl(ctx, "rollout", "status", "deployment/cloudflare", "-n", CloudflareNamespace, "--timeout=90s"); err != nil {
		return nil, err
	}
	c := &Cloudflare{URL: fmt.Sprintf("http://cloudflare.%s:%d", CloudflareNamespace, cloudflarePort), stage: s}
	if c.tokens, err = s.rootTokens(ctx); err != nil {
		return nil, err
	}
	s.say("it answers pods at %s", c.URL)
	return c, nil
}

// rootTokens are what the stand-in tells at its start, by account.
func (s *Stage) rootTokens(ctx context.Context) (map[string]string, error) {
	log, err := s.Kubectl(ctx, "logs", "deployment/cloudflare", "-n", CloudflareNamespace)
	if err != nil {
		return nil, err
	}
	tokens := map[string]string{}
	for line := range strings.Lines(log) {
		if w := strings.Fields(line); len(w) == 4 && w[0] == "account" && w[2] == "token" {
			tokens[w[1]] = w[3]
		}
	}
	if len(tokens) == 0 {
		return nil, errors.New("the stand-in for Cloudflare told no token of any account")
	}
	return tokens, nil
}

// Token is the API token that may do everything in an account.
func (c *Cloudflare) Token(account string) string { return c.tokens[account] }

// Account makes a CloudflareAccount that leads to the stand-in, with its Secret.
func (c *Cloudflare) Account(ctx context.Context, namespace, name, account string) error {
	manifest, err := fill(accountManifest, map[string]any{"Name": name, "Account": account, "Token": c.tokens[account], "URL": c.URL})
	if err != nil {
		return err
	}
	return c.stage.Apply(ctx, namespace, manifest)
}

// Admin is an address on 127.0.0.1 under which the host reaches the stand-in.
func (c *Cloudflare) Admin(ctx context.Context) (string, error) {
	return c.stage.Forward(ctx, fmt.Sprintf("%s/cloudflare:%d", CloudflareNamespace, cloudflarePort))
}

func fill(text string, with map[string]any) (string, error) {
	t, err := template.New("manifest").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading a manifest: %w", err)
	}
	var out strings.Builder
	if err := t.Execute(&out, with); err != nil {
		return "", fmt.Errorf("filling in a manifest: %w", err)
	}
	return out.String(), nil
}
