package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var requestTotal = regexp.MustCompile(`^apiserver_request_total\{.*resource="(cloudflarebindings|secrets|events)".*subresource="([a-z]*)".*verb="([A-Z]+)".*\} ([0-9.e+]+)$`)

// requests counts what the API server was asked so far of the kinds that matter here.
func requests(ctx context.Context, config *rest.Config) (map[string]int, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	text, err := c.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	out := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := requestTotal.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		n, err := strconv.ParseFloat(m[4], 64)
		if err != nil {
			return nil, fmt.Errorf("reading the API server's metrics: %w", err)
		}
		what := m[3] + " " + m[1]
		if m[2] != "" {
			what += "/" + m[2]
		}
		out[what] += int(n)
	}
	return out, lines.Err()
}
