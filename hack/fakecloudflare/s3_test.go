package fakecloudflare_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const r2 = "~/r2/buckets"

func TestBucketsLiveAndDie(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account, Quotas: fakecloudflare.Quotas{R2: 3}}}})
	r := f.want(200, 0, "POST", r2, map[string]string{"name": "docs", "locationHint": "weur"})
	if got := r.field(t, "location"); got != "WEUR" {
		t.Errorf("the location is %q", got)
	}
	f.want(409, 10004, "POST", r2, map[string]string{"name": "docs"})
	for _, name := range []string{"ab", "Upper", "a_b", "-ab", strings.Repeat("a", 65)} {
		f.want(400, 10005, "POST", r2, map[string]string{"name": name})
	}
	// A name is taken within a jurisdiction.
	f.want(200, 0, "POST", r2, map[string]string{"name": "docs"}, "Cf-R2-Jurisdiction", "eu")
	f.want(200, 0, "DELETE", r2+"/docs", nil, "Cf-R2-Jurisdiction", "eu")
	f.want(404, 10006, "GET", r2+"/docs", nil, "Cf-R2-Jurisdiction", "eu")
	f.want(200, 0, "GET", r2+"/docs", nil)
	f.want(400, 10005, "PATCH", r2+"/docs", nil)
	if r = f.want(200, 0, "PATCH", r2+"/docs", nil, "Cf-R2-Storage-Class", "InfrequentAccess"); r.field(t, "storage_class") != "InfrequentAccess" {
		t.Errorf("patched to %s", r.raw)
	}
	f.want(200, 0, "POST", r2, map[string]string{"name": "docs-2"})
	f.want(200, 0, "POST", r2, map[string]string{"name": "zz-top"})
	f.want(403, 10009, "POST", r2, map[string]string{"name": "fourth"})
	var got []string
	for cursor := ""; ; {
		r := f.want(200, 0, "GET", r2+"?per_page=1&name_contains=docs&cursor="+cursor, nil)
		var page struct{ Buckets []struct{ Name string } }
		r.into(t, &page)
		for _, b := range page.Buckets {
			got = append(got, b.Name)
		}
		if cursor, _ = r.Info["cursor"].(string); cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"docs", "docs-2"}, got); diff != "" {
		t.Error(diff)
	}
}

// s3 signs and sends a call as an S3 client does.
type s3 struct {
	f           fake
	key, secret string
	region      string
	spoil       func(*http.Request)
}

func (s s3) call(method, path, body string, header ...string) (int, http.Header, string) {
	s.f.t.Helper()
	r, err := http.NewRequestWithContext(s.f.t.Context(), method, s.f.url+"/_r2/"+account+path, strings.NewReader(body))
	if err != nil {
		s.f.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	sum := sha256.Sum256([]byte(body))
	stamp := s.f.clock.now().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Date", stamp)
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20")
	names := "host;x-amz-content-sha256;x-amz-date"
	canonical := method + "\n" + r.URL.EscapedPath() + "\n" + query + "\nhost:" + r.URL.Host + "\nx-amz-content-sha256:" + hex.EncodeToString(sum[:]) + "\nx-amz-date:" + stamp + "\n"
	if meta := r.Header.Get("X-Amz-Meta-Tenant"); meta != "" {
		names += ";x-amz-meta-tenant"
		canonical += "x-amz-meta-tenant:" + meta + "\n"
	}
	hash := sha256.Sum256([]byte(canonical + "\n" + names + "\n" + hex.EncodeToString(sum[:])))
	scope := stamp[:8] + "/" + s.region + "/s3/aws4_request"
	key := []byte("AWS4" + s.secret)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(hash[:])) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.key+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(key))
	if s.spoil != nil {
		s.spoil(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.f.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// keys makes a token for one bucket and what S3 calls its key pair.
func keys(f fake, bucket string, groups ...string) s3 {
	f.t.Helper()
	var refs []any
	for _, g := range groups {
		refs = append(refs, map[string]string{"id": f.group(g)})
	}
	r := f.want(200, 0, "POST", "~/tokens", map[string]any{"name": bucket, "policies": []any{map[string]any{"effect": "allow", "permission_groups": refs,
		"resources": map[string]string{"com.cloudflare.edge.r2.bucket." + account + "_default_" + bucket: "*"}}}})
	sum := sha256.Sum256([]byte(r.field(f.t, "value")))
	return s3{f: f, key: r.field(f.t, "id"), secret: hex.EncodeToString(sum[:]), region: "auto"}
}

func TestObjectsOverS3(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	for _, b := range []string{"docs", "other"} {
		f.want(200, 0, "POST", r2, map[string]string{"name": b})
	}
	s := keys(f, "docs", "Workers R2 Storage Bucket Item Write")
	expect := func(want int, code, method, path, body string, header ...string) (http.Header, string) {
		t.Helper()
		status, h, text := s.call(method, path, body, header...)
		if status != want || code != "" && !strings.Contains(text, "<Code>"+code+"</Code>") {
			t.Fatalf("%s %s answered %d %s", method, path, status, text)
		}
		return h, text
	}
	h, _ := expect(200, "", "PUT", "/docs/a/"+url.PathEscape("ä b(1).txt"), "hello", "X-Amz-Meta-Tenant", "t", "Content-Type", "text/plain")
	if h.Get("ETag") != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("the ETag is %s", h.Get("ETag"))
	}
	s.region = "us-east-1" // an alias of auto
	read := keys(f, "docs", "Workers R2 Storage Bucket Item Read")
	status, h, text := read.call("GET", "/docs/a/"+url.PathEscape("ä b(1).txt"), "")
	if status != 200 || text != "hello" || h.Get("X-Amz-Meta-Tenant") != "t" || h.Get("Content-Type") != "text/plain" {
		t.Errorf("got %d %q %v", status, text, h)
	}
	if status, _, _ = read.call("PUT", "/docs/x", "no"); status != 403 {
		t.Errorf("a reader wrote: %d", status)
	}
	if status, _, _ = read.call("GET", "/other/x", ""); status != 403 {
		t.Errorf("another bucket was read: %d", status)
	}
	expect(412, "PreconditionFailed", "PUT", "/docs/a/"+url.PathEscape("ä b(1).txt"), "x", "If-None-Match", "*")
	f.want(409, 10008, "DELETE", r2+"/docs", nil) // it isn't empty
	for _, k := range []string{"b/1", "b/2", "c"} {
		expect(200, "", "PUT", "/docs/"+k, "x")
	}
	reader := keys(f, "docs", "Workers R2 Storage Bucket Item Read")
	var listed []string
	for token := ""; ; {
		_, _, text := reader.call("GET", "/docs?list-type=2&delimiter=%2F&max-keys=1&continuation-token="+token, "")
		var l struct {
			Next     string `xml:"NextContinuationToken"`
			Contents []struct{ Key string }
			Common   []struct{ Prefix string } `xml:"CommonPrefixes"`
		}
		if err := xml.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		for _, c := range l.Contents {
			listed = append(listed, c.Key)
		}
		for _, c := range l.Common {
			listed = append(listed, c.Prefix)
		}
		if token = l.Next; token == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"a/", "b/", "c"}, listed); diff != "" {
		t.Error(diff)
	}
	expect(204, "", "DELETE", "/docs/c", "")
	expect(204, "", "DELETE", "/docs/c", "")
	if status, _, text = reader.call("GET", "/docs/c", ""); status != 404 || !strings.Contains(text, "NoSuchKey") {
		t.Errorf("a deleted object: %d %s", status, text)
	}
	// One that isn't there has no bucket of its own either.
	all := keys(f, "ghost", "Workers R2 Storage Bucket Item Write")
	if status, _, text = all.call("GET", "/ghost/x", ""); status != 404 || !strings.Contains(text, "NoSuchBucket") {
		t.Errorf("no bucket: %d %s", status, text)
	}
}

func TestSignaturesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	f.want(200, 0, "POST", r2, map[string]string{"name": "docs"})
	s := keys(f, "docs", "Workers R2 Storage Bucket Item Write")
	for code, spoil := range map[string]func(*s3){
		"SignatureDoesNotMatch": func(s *s3) { s.secret = "c4nary" },
		"Unauthorized":          func(s *s3) { s.key = "nobody" },
		"RequestTimeTooSkewed":  func(s *s3) { s.f.clock = &clock{at: f.clock.now().Add(16 * time.Minute)} },
		"XAmzContentSHA256Mismatch": func(s *s3) {
			s.spoil = func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("other")), 5 }
		},
		"AccessDenied":   func(s *s3) { s.spoil = func(r *http.Request) { r.Header.Set("X-Amz-Meta-Unsigned", "x") } },
		"NotImplemented": func(s *s3) { s.spoil = func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") } },
	} {
		bad := s
		spoil(&bad)
		if status, _, text := bad.call("PUT", "/docs/x", "body"); status < 400 || !strings.Contains(text, "<Code>"+code+"</Code>") {
			t.Errorf("%s: answered %d %s", code, status, text)
		}
	}
	r := f.as("").call("GET", "/docs/x", nil, "Host", account+".r2.example")
	if r.status != 403 || !strings.Contains(r.raw, "AccessDenied") {
		t.Errorf("by the host's name, unsigned: %d %s", r.status, r.raw)
	}
}
