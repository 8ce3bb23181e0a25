package chatwire_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

func TestStreamsOverHTTP2(t *testing.T) {
	t.Parallel()
	gone := make(chan time.Time, 1)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
			return
		}
		_, _ = io.WriteString(w, hello)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- time.Now()
	}))
	up.EnableHTTP2 = true
	up.StartTLS()
	defer up.Close()
	transport := chatwire.NewTransport(chatwire.TransportOptions{})
	transport.TLSClientConfig = up.Client().Transport.(*http.Transport).TLSClientConfig
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := newClient(t, up.URL, chatwire.Settings{Transport: transport}).Stream(ctx, acme(t), question())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Next(); err != nil || c.Text != "Hello" {
		t.Fatal(c, err)
	}
	start := time.Now()
	cancel()
	if _, err := s.Next(); kindOf(err) != ai.KindCanceled {
		t.Errorf("the error is %v", err)
	}
	if took := (<-gone).Sub(start); took > time.Second { // the suite measures the promise
		t.Errorf("the upstream noticed after %v", took)
	}
}

func TestCertificatesThatArentTrusted(t *testing.T) {
	t.Parallel()
	up := httptest.NewUnstartedServer(http.NotFoundHandler())
	up.Config.ErrorLog = log.New(io.Discard, "", 0)
	up.StartTLS()
	defer up.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	trusting := chatwire.NewTransport(chatwire.TransportOptions{})
	trusting.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: up.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "c4nary.test"}
	for name, c := range map[string]struct {
		url       string
		transport http.RoundTripper
		want      string
	}{
		"unknown authority": {up.URL, nil, "unknown authority"},
		"another host":      {up.URL, trusting, "another host name"},
		"no TLS":            {strings.Replace(plain.URL, "http:", "https:", 1), nil, "doesn't speak TLS"},
	} {
		_, err := ask(t, newClient(t, c.url, chatwire.Settings{Transport: c.transport}))
		if kindOf(err) != ai.KindUnavailable || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		noCanary(t, err)
	}
}
