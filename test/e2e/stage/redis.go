package stage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os/exec"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/image"
	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/distro"
)

// Where Redis runs, and the Secret in SystemNamespace with the login that makes others,
// as a TenantClass names it.
const (
	RedisNamespace   = "redis"
	RedisAdminSecret = "valkey-admin"
	redisImage       = "localhost/enigma-redis"
)

//go:embed redis.yaml
var redisManifest string

// redisNeeds are the server, under another name, and its client.
var redisNeeds = []distro.Requirement{
	{Package: "redis-tools", File: "redis-check-rdb", Why: "is the Redis server under another name, and starts no service as redis-server would"},
}

// Redis runs the distribution's Redis in the cluster. It keeps its data over restarts,
// but no login that it was told of.
func (s *Stage) Redis(ctx context.Context) error {
	if err := distro.Ensure(ctx, s.Out, redisNeeds); err != nil {
		return err
	}
	program, err := exec.LookPath("redis-check-rdb")
	if err != nil {
		return fmt.Errorf("finding Redis: %w", err)
	}
	s.step("image %s", redisImage)
	tag, err := s.pack(ctx, image.Spec{Binary: program, Name: "redis-server", Libraries: true}, redisImage)
	if err != nil {
		return err
	}
	s.step("Redis, in namespace %s", RedisNamespace)
	password := rand.Text()
	digest := sha256.Sum256([]byte(password))
	manifest, err := fill(redisManifest, map[string]any{
		"Namespace": RedisNamespace, "SystemNamespace": SystemNamespace, "AdminSecret": RedisAdminSecret,
		"Image": redisImage + ":" + tag, "Password": password, "Digest": hex.EncodeToString(digest[:]),
	})
	if err != nil {
		return err
	}
	if err := s.namespace(ctx, RedisNamespace); err != nil {
		return err
	}
	if err := s.applyAnywhere(ctx, manifest); err != nil {
		return err
	}
	_, err = s.Kubectl(ctx, "rollout", "status", "deployment/redis", "-n", RedisNamespace, "--timeout=90s")
	return err
}

// applyAnywhere applies objects that name their namespaces themselves.
func (s *Stage) applyAnywhere(ctx context.Context, manifest string) error {
	_, err := s.pipe(ctx, manifest, s.kubectl, "--kubeconfig", s.config, "apply", "-f", "-")
	return err
}
