package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// ask sends one request to the host process of a running cluster.
func ask[Resp any](ctx context.Context, p place, path string, request any) (Resp, error) {
	var response Resp
	body, err := json.Marshal(request)
	if err != nil {
		return response, err
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", p.control())
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://cluster/"+path, bytes.NewReader(body))
	if err != nil {
		return response, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return response, fmt.Errorf("asking the running cluster: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return response, fmt.Errorf("asking the running cluster: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return response, errors.New(strings.TrimSpace(string(text)))
	}
	return response, json.Unmarshal(text, &response)
}
