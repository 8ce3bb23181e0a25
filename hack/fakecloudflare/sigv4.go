package fakecloudflare

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// signature is what an Authorization header of AWS Signature Version 4 says.
type signature struct {
	accessKey, date, region, service string
	headers                          []string
	hex                              string
}

func readSignature(header string) (signature, bool) {
	rest, isOne := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !isOne {
		return signature{}, false
	}
	fields := map[string]string{}
	for _, f := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return signature{}, false
	}
	s := signature{accessKey: scope[0], date: scope[1], region: scope[2], service: scope[3], hex: fields["Signature"],
		headers: strings.Split(fields["SignedHeaders"], ";")}
	return s, s.hex != "" && slices.Contains(s.headers, "host")
}

// check gives S3's code for what is wrong with the signature, or "".
func (s signature) check(r *http.Request, body []byte, secret string, now time.Time) string {
	stamp := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", stamp)
	if err != nil || !strings.HasPrefix(stamp, s.date) {
		return "AccessDenied"
	}
	if d := now.Sub(at); d > 15*time.Minute || d < -15*time.Minute {
		return "RequestTimeTooSkewed"
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	sum := sha256.Sum256(body)
	switch {
	case payload == "" || strings.HasPrefix(payload, "STREAMING-"):
		return "NotImplemented"
	case payload != "UNSIGNED-PAYLOAD" && payload != hex.EncodeToString(sum[:]):
		return "XAmzContentSHA256Mismatch"
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(s.headers, strings.ToLower(name)) {
			return "AccessDenied" // S3 wants all of them signed
		}
	}
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	request := sha256.Sum256([]byte(s.canonical(r, payload)))
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(request[:])
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(mac(key, text))), []byte(s.hex)) != 1 {
		return "SignatureDoesNotMatch"
	}
	return ""
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (s signature) canonical(r *http.Request, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range s.headers {
		values := r.Header.Values(name)
		if name == "host" {
			values = []string{r.Host}
		}
		if name == "content-length" && len(values) == 0 {
			values = []string{itoa(r.ContentLength)}
		}
		for i := range values {
			values[i] = strings.Join(strings.Fields(values[i]), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + payload)
	return b.String()
}

func canonicalQuery(q url.Values) string {
	var pairs []string
	for name, values := range q {
		for _, v := range values {
			pairs = append(pairs, awsEscape(name)+"="+awsEscape(v))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// awsEscape differs from a query's by the space.
func awsEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
