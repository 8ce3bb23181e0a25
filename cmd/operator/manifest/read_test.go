package manifest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/cmd/operator/manifest"
)

func read(t *testing.T, yaml string) (*manifest.Objects, error) {
	t.Helper()
	var objects manifest.Objects
	return &objects, objects.Read(context.Background(), strings.NewReader(yaml))
}

const minimal = "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"

func TestDefaultsAreFilledInAsByTheServer(t *testing.T) {
	objects, err := read(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	tenant := objects.Tenants[0]
	if tenant.Namespace != "default" || tenant.Spec.Environment != "production" || tenant.Spec.Upstream.Type != v1alpha1.UpstreamEmbedded {
		t.Errorf("namespace %q, environment %q, upstream %q", tenant.Namespace, tenant.Spec.Environment, tenant.Spec.Upstream.Type)
	}
	if keys := tenant.Spec.Auth.Keys; len(keys) != 1 || keys[0].Name != "default" || keys[0].GracePeriod.Duration != 24*time.Hour {
		t.Errorf("keys %+v", keys)
	}
	if tenant.Status.ObservedGeneration != -1 {
		t.Errorf("observedGeneration %d, want -1", tenant.Status.ObservedGeneration)
	}
}

func TestBrokenRulesAreSaidAsByTheServer(t *testing.T) {
	cases := map[string]struct{ yaml, want string }{
		"CEL":            {minimal + "spec: {upstream: {type: openai}}", "spec.upstream.baseURL is required with type openai"},
		"CEL at root":    {strings.Replace(minimal, "acme", "ACME", 1), "metadata.name must be a DNS label"},
		"enum":           {minimal + "spec: {environment: prod}", `Unsupported value: "prod"`},
		"range":          {minimal + "spec: {limits: {messageChars: 20000}}", "should be less than or equal to 10000"},
		"unknown field":  {minimal + "spec: {promt: {}}", "unknown field spec.promt"},
		"double key":     {minimal + "spec: {suspend: true, suspend: false}", `"suspend" already set`},
		"list map":       {minimal + "spec: {auth: {keys: [{name: a}, {name: a}]}}", "Duplicate value"},
		"quantity":       {minimal + "spec: {limits: {bodyBytes: 2Gi}}", "spec.limits.bodyBytes must be from 1Ki to 64Mi"},
		"unknown kind":   {strings.Replace(minimal, "kind: Tenant", "kind: Tennant", 1), "no kind Tennant"},
		"no kind":        {"metadata: {name: x}", "Kind"},
		"second of many": {minimal + "---\n" + minimal + "spec: {suspend: 3}", "document 2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, c.yaml)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestOtherKindsArePassedOver(t *testing.T) {
	objects, err := read(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\n# only a comment\n---\n"+minimal)
	if err != nil || len(objects.Tenants) != 1 {
		t.Fatalf("%d tenants, %v", len(objects.Tenants), err)
	}
}

func TestSecretsAreFoundAndNeverQuoted(t *testing.T) {
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\n"
	objects, err := read(t, secret+"stringData: {token: abc}")
	if err != nil {
		t.Fatal(err)
	}
	if got := objects.Secret("team", "s"); got == nil || string(got.Data["token"]) != "abc" {
		t.Errorf("got %v", got)
	}
	if objects.Secret("default", "s") != nil {
		t.Error("a Secret of another namespace was found")
	}
	if _, err := read(t, secret+"data: {token: {c4nary: 1}}"); err == nil || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("got %v, want an error without the data", err)
	}
}
