package cloudflare

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Objects keeps files in one R2 bucket, each tenant's below a prefix of its own.
type Objects struct {
	a    *Account
	base string // address and bucket, escaped
}

var _ storage.Objects = (*Objects)(nil)

// NewObjects makes a store in a bucket of a jurisdiction: "default", "eu" or "fedramp".
// It calls nobody.
func NewObjects(a *Account, bucket, jurisdiction string) *Objects {
	base := a.o.S3
	if base == "" {
		base = "https://" + a.o.AccountID
		if jurisdiction != "" && jurisdiction != "default" {
			base += "." + jurisdiction
		}
		base += ".r2.cloudflarestorage.com"
	}
	return &Objects{a: a, base: base + "/" + escape(bucket, false)}
}

// prefixOf keeps tenants apart: it has one length, and no tenant chooses it.
func prefixOf(t tenancy.ID) string { return statestore.Tag(t.Identity()) + "/" }

// Put implements storage.Objects. The bytes are streamed; R2 keeps an object once it has
// all of them.
func (o *Objects) Put(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error {
	if err := allowedKey(ctx, t, key); err != nil {
		return err
	}
	if size < 0 {
		return storage.ErrBadSize
	}
	body := &exactly{r: bufio.NewReaderSize(r, 64<<10), left: size}
	if size == 0 {
		// Nothing would be read of an empty body: whether it is empty is asked first.
		if _, err := body.Read(nil); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	resp, err := o.send(ctx, http.MethodPut, prefixOf(t)+key, nil, body, size)
	if broken := body.broken(); broken != nil {
		// The reader's own error is the cause of the broken call.
		if err == nil {
			_ = resp.Body.Close()
		}
		return broken
	}
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only the connection's reuse is at stake
	drain(resp.Body)
	return nil
}

// exactly gives left bytes or an error. It holds the last ones back until it knows that
// no more follow, since a whole object that is too short can't be taken back.
type exactly struct {
	r    *bufio.Reader
	left int64

	mu  sync.Mutex // the transport may go on reading when its call is over
	err error
}

func (e *exactly) broken() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *exactly) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return 0, e.err
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n := 0
	if len(p) > 0 {
		var err error
		if n, err = e.r.Read(p); err != nil {
			return 0, e.fail(err)
		}
	}
	if int64(n) < e.left {
		e.left -= int64(n)
		return n, nil
	}
	if _, err := e.r.Peek(1); err == nil {
		e.err = storage.ErrBadSize
		return 0, e.err
	} else if !errors.Is(err, io.EOF) {
		return 0, e.fail(err)
	}
	e.left = 0
	return n, io.EOF
}

func (e *exactly) fail(err error) error {
	if e.err = storage.ErrBadSize; !errors.Is(err, io.EOF) {
		e.err = fmt.Errorf("reading the object: %w", err)
	}
	return e.err
}

// Get implements storage.Objects. A body that breaks off ends with an error.
func (o *Objects) Get(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error) {
	if err := allowedKey(ctx, t, key); err != nil {
		return nil, err
	}
	resp, err := o.send(ctx, http.MethodGet, prefixOf(t)+key, nil, nil, 0)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Delete implements storage.Objects.
func (o *Objects) Delete(ctx context.Context, t tenancy.ID, key string) error {
	if err := allowedKey(ctx, t, key); err != nil {
		return err
	}
	resp, err := o.send(ctx, http.MethodDelete, prefixOf(t)+key, nil, nil, 0)
	if errors.Is(err, storage.ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only the connection's reuse is at stake
	drain(resp.Body)
	return nil
}

// maxPage is how many keys S3 lists in one call.
const maxPage = 1000

// Keys implements storage.Objects.
func (o *Objects) Keys(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error) {
	if err := allowed(ctx, t); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	var keys []string
	own := prefixOf(t)
	for len(keys) < limit {
		q := url.Values{"list-type": {"2"}, "prefix": {own + prefix}, "max-keys": {strconv.Itoa(min(limit-len(keys), maxPage))}}
		if after != "" {
			q.Set("start-after", own+after)
		}
		page, more, err := o.list(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, key := range page {
			// Whatever the bucket lists, only what is the tenant's leaves here.
			if mine, is := strings.CutPrefix(key, own); is && mine > after {
				keys, after = append(keys, mine), mine
			}
		}
		if !more || len(page) == 0 {
			break
		}
	}
	return keys, nil
}

func (o *Objects) list(ctx context.Context, q url.Values) (page []string, more bool, err error) {
	resp, err := o.send(ctx, http.MethodGet, "", q, nil, 0)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or is given up
	body, err := cloudflareapi.ReadBody(resp.Body, maxAnswer)
	if err != nil {
		return nil, false, unreachable(ctx)
	}
	var list struct {
		IsTruncated bool
		Contents    []struct{ Key string }
	}
	if xml.Unmarshal(body, &list) != nil {
		return nil, false, fmt.Errorf("%w: R2 lists something that isn't XML", storage.ErrUnavailable)
	}
	for _, c := range list.Contents {
		page = append(page, c.Key)
	}
	return page, list.IsTruncated, nil
}

// send makes a signed call; an answer of less than 300 is the caller's to close. R2's
// calls are no part of the REST API's budget.
func (o *Objects) send(ctx context.Context, method, key string, q url.Values, body io.Reader, size int64) (*http.Response, error) {
	address := o.base
	if key != "" {
		address += "/" + escape(key, true)
	}
	if len(q) > 0 {
		address += "?" + canonicalQuery(q)
	}
	if size == 0 {
		body = http.NoBody // a body of unknown length would be sent in chunks, which S3 refuses
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, errors.New("making a call: cloudflare.s3 makes no address")
	}
	r.ContentLength = size
	r.Header.Set("User-Agent", "crispy-enigma")
	if method == http.MethodPut {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	sign(r, o.a.o.Credential(), o.a.o.Now())
	resp, err := o.a.http.Do(r)
	if err != nil {
		err = unreachable(ctx)
		o.a.note(ctx, err)
		return nil, err
	}
	if resp.StatusCode < 300 {
		o.a.note(ctx, nil)
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // the refusal was read as far as it matters
	err = o.refusal(resp)
	if errors.Is(err, storage.ErrNoObject) {
		o.a.note(ctx, nil)
	} else {
		o.a.note(ctx, err)
	}
	return nil, err
}

func (o *Objects) refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // without a body the status must do
	var said struct{ Code string }
	_ = xml.Unmarshal(text, &said)
	e := &apiError{status: resp.StatusCode}
	switch {
	case said.Code == "NoSuchKey":
		return storage.ErrNoObject
	case said.Code == "NoSuchBucket":
		e.advice = "the R2 bucket isn't there: see the Tenant's condition BindingsReady"
	case resp.StatusCode == http.StatusTooManyRequests || said.Code == "SlowDown":
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 is no word
		return busyFor(seconds)
	case said.Code == "RequestTimeTooSkewed":
		e.advice = "the clock of this machine is wrong by more than 15 minutes"
	default:
		e.advise()
	}
	return e
}

func allowed(ctx context.Context, t tenancy.ID) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return ctx.Err()
}

func allowedKey(ctx context.Context, t tenancy.ID, key string) error {
	if err := allowed(ctx, t); err != nil {
		return err
	}
	return storage.CheckObjectKey(key)
}
