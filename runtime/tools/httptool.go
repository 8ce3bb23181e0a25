package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// maxAnswer bounds what a service answers, in bytes.
const maxAnswer = 1 << 20

// httpTool is one call of a tenant's service.
type httpTool struct {
	cfg     *tenantconfig.HTTPTool
	address template
	header  http.Header
	client  *outbound.Client
}

// newHTTPTool makes a tool, or tells why it can't be used.
func (f *Feature) newHTTPTool(t *tenancy.Tenant, cfg *tenantconfig.HTTPTool) (*tool, *tenantconfig.ToolStatus) {
	broken := func(reason, message string) (*tool, *tenantconfig.ToolStatus) {
		return nil, &tenantconfig.ToolStatus{Name: cfg.Name, Reason: reason, Message: message}
	}
	h := &httpTool{cfg: cfg, address: newTemplate(cfg.URL), header: http.Header{}}
	base, err := h.address.base()
	if err != nil {
		return broken(ReasonBadServer, "its url can't be read: mend it")
	}
	h.header.Set("User-Agent", "crispy-enigma")
	h.header.Set("Accept", "application/json, text/*;q=0.9")
	for name, value := range cfg.Headers {
		h.header.Set(name, value)
	}
	for _, s := range cfg.SecretHeaders {
		value, err := t.Secret(s.ValueFile)
		if err != nil || strings.ContainsAny(value, "\r\n\x00") {
			return broken(ReasonNoSecret, fmt.Sprintf("the secret of its header %s is missing, empty, or not one line: mend the Secret that it names", s.Name))
		}
		h.header.Set(s.Name, s.Prefix+value)
	}
	policy := policyOf(base, cfg.Private)
	policy.Hosts = append(policy.Hosts, cfg.RedirectHosts...)
	// The tool's own time ends it first, and says so.
	policy.MaxBytes, policy.Timeout, policy.Idle = maxAnswer, seconds(cfg.TimeoutSeconds)+slack, -1
	if err := policy.Check(base); err != nil {
		return broken(ReasonNotAllowed, "its url can't be called: "+err.Error())
	}
	h.client = outbound.New(policy, f.n.Outbound)
	parameters := cfg.Parameters
	if len(parameters) == 0 {
		parameters = anyObject
	}
	return &tool{
		name: cfg.Name, description: cfg.Description, parameters: parameters,
		writes: cfg.Effect == tenantconfig.EffectWrite, leaves: true,
		timeout: seconds(cfg.TimeoutSeconds), run: h.run, close: h.client.Close,
	}, nil
}

// policyOf allows the host of an address that the tenant wrote, and its port.
func policyOf(u *url.URL, private bool) outbound.Policy {
	p := outbound.Policy{Hosts: []string{u.Hostname()}, Private: private}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		p.Ports = []int{port}
	}
	return p
}

// run calls the service, again where it may be.
func (h *httpTool) run(ctx context.Context, _ *job, params map[string]any) (any, error) {
	address, rest, fault := h.address.expand(params)
	if fault != nil {
		return nil, fault
	}
	var body []byte
	switch h.cfg.Method {
	case http.MethodGet, http.MethodDelete:
		if address, fault = h.address.withQuery(address, rest); fault != nil {
			return nil, fault
		}
	default:
		body = canonical(rest)
	}
	for try := 0; ; try++ {
		data, err := h.once(ctx, address, body)
		var again *momentary
		if !errors.As(err, &again) || try >= h.cfg.Retries || h.cfg.Effect != tenantconfig.EffectRead {
			return data, err
		}
		if !pause(ctx, again.after, try) {
			return data, err
		}
	}
}

func (h *httpTool) once(ctx context.Context, address string, body []byte) (any, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, h.cfg.Method, address, reader)
	if err != nil {
		return nil, failed(nil, "the service's address can't be called with these parameters")
	}
	req.Header = h.header.Clone()
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, unreached(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, refusedBy(resp)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, unreached(err)
	}
	data, fault := readAnswer(resp.Header.Get("Content-Type"), answer)
	if fault != nil {
		return nil, fault
	}
	if h.cfg.Result == "" {
		return data, nil
	}
	part, ok := pointTo(data, h.cfg.Result)
	if !ok {
		return nil, failed(nil, "the service's answer has no part "+h.cfg.Result+", which this tool is to return: mend the tool's result")
	}
	return part, nil
}

// unreached tells of a call that brought no answer.
func unreached(err error) error {
	switch {
	case errors.Is(err, outbound.ErrTooLarge):
		return failed(err, fmt.Sprintf("the service's answer is larger than %d bytes: ask for less", maxAnswer))
	case errors.Is(err, outbound.ErrAddressBlocked):
		return failed(err, "the service's address may not be reached from here: a service in a private network needs private: true")
	case errors.Is(err, outbound.ErrHostNotAllowed), errors.Is(err, outbound.ErrRedirects), errors.Is(err, outbound.ErrBadURL):
		return failed(err, "the service led to an address that this tool may not call: name it in redirectHosts if it may")
	case errors.Is(err, outbound.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failed(err, "the service took too long")
	case errors.Is(err, outbound.ErrEncoding):
		return failed(err, "the service's answer is compressed in a way that wasn't asked for")
	}
	return &momentary{failure: failed(err, "the service can't be reached: try again later, or tell who operates it")}
}

// refusedBy tells of an answer that is no success. Its body is not shown.
func refusedBy(resp *http.Response) error {
	status := strconv.Itoa(resp.StatusCode)
	f := failed(fmt.Errorf("the service answered %s", status), "the service answered with status "+status)
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		f.message += ": the tool's credentials are missing or not enough"
	case resp.StatusCode == http.StatusNotFound:
		f.message += ": what was asked for isn't there"
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		f.message += ": try again later"
		return &momentary{failure: f, after: retryAfter(resp.Header.Get("Retry-After"))}
	}
	return f
}

// readAnswer gives JSON as data and text as text. Anything else is refused.
func readAnswer(contentType string, body []byte) (any, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = ""
	}
	isJSON := kind == "application/json" || strings.HasSuffix(kind, "+json")
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, nil
	case isJSON, kind == "" && json.Valid(body):
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		var data any
		if err := dec.Decode(&data); err != nil {
			return nil, failed(nil, "the service's answer says that it is JSON and isn't")
		}
		return data, nil
	case (kind == "" || strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "xml")) && utf8.Valid(body) && bytes.IndexByte(body, 0) < 0:
		return string(body), nil
	}
	return nil, failed(nil, "the service's answer is neither JSON nor text in UTF-8: a tool can't return it")
}

// pointTo follows a JSON Pointer (RFC 6901).
func pointTo(data any, pointer string) (any, bool) {
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch v := data.(type) {
		case map[string]any:
			inner, ok := v[part]
			if !ok {
				return nil, false
			}
			data = inner
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != part {
				return nil, false
			}
			data = v[i]
		default:
			return nil, false
		}
	}
	return data, true
}
