package fakecloudflare

import (
	"crypto/md5" //nolint:gosec // an ETag is MD5 by S3's definition
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

const s3Prefix = "/_r2/"

// s3Address tells whether a request is for R2 over S3: by a host as Cloudflare's,
// ACCOUNT[.eu|.fedramp].anything, or below /_r2/ACCOUNT[.JURISDICTION]/.
func (s *Server) s3Address(r *http.Request) (account, jurisdiction, path string, is bool) {
	path = r.URL.EscapedPath()
	label, rest, _ := strings.Cut(r.Host, ".")
	if inPath, below := strings.CutPrefix(path, s3Prefix); below {
		label, path, _ = strings.Cut(inPath, "/")
		label, rest, _ = strings.Cut(label, ".")
		path = "/" + path
	} else if !accountID.MatchString(label) {
		return "", "", "", false
	}
	jurisdiction = "default"
	if first, _, _ := strings.Cut(rest, "."); first == "eu" || first == "fedramp" {
		jurisdiction = first
	}
	return label, jurisdiction, path, true
}

// s3Call is a call of the S3 API.
type s3Call struct {
	*call
	account, jurisdiction string
	bucket, key           string
}

func (s *Server) serveS3(w http.ResponseWriter, r *http.Request, account, jurisdiction, path string) {
	c := s3Call{call: &call{s: s, r: r, now: s.now()}, account: account, jurisdiction: jurisdiction}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	var err1, err2 error
	c.bucket, err1 = url.PathUnescape(bucket)
	c.key, err2 = url.PathUnescape(key)
	c.op = &operation{id: "s3-" + strings.ToLower(r.Method), kind: "r2-objects"}
	c.params = []string{account}
	s.run(w, c.call, func() answer {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err1 != nil || err2 != nil || c.bucket == "" {
			return s3Fail(http.StatusBadRequest, "InvalidURI", "the path isn't /bucket/key")
		}
		return c.serve()
	})
}

func (c s3Call) serve() answer {
	acct := c.s.accounts[c.account]
	sign, signed := readSignature(c.r.Header.Get("Authorization"))
	if !signed || acct == nil {
		return s3Fail(http.StatusForbidden, "AccessDenied", "the request isn't signed")
	}
	i := acct.Tokens.get(sign.accessKey)
	if i == nil || i.Value.status(c.now) != "active" {
		return s3Fail(http.StatusUnauthorized, "Unauthorized", "no such access key")
	}
	c.entry.Token, c.entry.TokenName = i.Key, i.Value.Name
	if code := sign.check(c.r, c.body, s3Secret(i.Value.Value), c.now); code != "" {
		return s3Fail(http.StatusForbidden, code, "the signature isn't good")
	}
	if !c.allowed(&i.Value) {
		return s3Fail(http.StatusForbidden, "AccessDenied", "the token may not do this with this bucket")
	}
	b := acct.R2.get(bucketKey(c.jurisdiction, c.bucket))
	if b == nil {
		return s3Fail(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
	}
	return c.do(&b.Value)
}

// allowed: by the account's groups, or by an item group on this bucket.
func (c s3Call) allowed(t *token) bool {
	account, items := read("Workers R2 Storage"), read("Workers R2 Storage Bucket Item")
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		account, items = write("Workers R2 Storage"), write("Workers R2 Storage Bucket Item")
	}
	return t.may(c.account, account, c.now) || t.allows("com.cloudflare.edge.r2.bucket."+c.account+"_"+c.jurisdiction+"_"+c.bucket, items)
}

func (c s3Call) do(b *r2Bucket) answer {
	if c.key == "" {
		switch {
		case c.r.Method == http.MethodGet && c.r.URL.Query().Get("list-type") == "2":
			return c.list(b)
		case c.r.Method == http.MethodHead:
			return answer{status: http.StatusOK}
		}
		return s3Fail(http.StatusNotImplemented, "NotImplemented", "this fake lists with list-type=2")
	}
	if len(c.key) > 1024 {
		return s3Fail(http.StatusBadRequest, "KeyTooLongError", "a key may have 1024 bytes")
	}
	o := b.Objects[c.key]
	switch c.r.Method {
	case http.MethodPut:
		return c.put(b, o)
	case http.MethodDelete:
		delete(b.Objects, c.key)
		c.did("delete", c.bucket, c.key)
		return answer{status: http.StatusNoContent}
	case http.MethodGet, http.MethodHead:
		if o == nil {
			return s3Fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		}
		a := raw(o.ContentType, o.Body).with("ETag", o.ETag).with("Last-Modified", o.Modified.UTC().Format(http.TimeFormat)).
			with("Content-Length", strconv.Itoa(len(o.Body)))
		for name, value := range o.Metadata {
			a = a.with(name, value)
		}
		return a
	}
	return s3Fail(http.StatusNotImplemented, "NotImplemented", "this fake puts, gets, heads, deletes and lists")
}

func (c s3Call) put(b *r2Bucket, old *r2Object) answer {
	if c.r.Header.Get("If-None-Match") == "*" && old != nil || c.r.Header.Get("If-Match") != "" && (old == nil || old.ETag != c.r.Header.Get("If-Match")) {
		return s3Fail(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
	}
	if c.r.Header.Get("X-Amz-Copy-Source") != "" || c.r.URL.RawQuery != "" && c.r.URL.Query().Get("x-id") == "" {
		return s3Fail(http.StatusNotImplemented, "NotImplemented", "this fake puts whole objects")
	}
	sum := md5.Sum(c.body) //nolint:gosec // an ETag is MD5 by S3's definition
	o := &r2Object{Body: c.body, ContentType: c.r.Header.Get("Content-Type"), Metadata: map[string]string{}, ETag: `"` + hex.EncodeToString(sum[:]) + `"`, Modified: c.now}
	size := 0
	for name := range c.r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			o.Metadata[name] = c.r.Header.Get(name)
			size += len(name) + len(o.Metadata[name])
		}
	}
	if size > 8192 {
		return s3Fail(http.StatusBadRequest, "MetadataTooLarge", "metadata may have 8192 bytes")
	}
	b.Objects[c.key] = o
	c.did("write", c.bucket, c.key)
	return answer{status: http.StatusOK}.with("ETag", o.ETag)
}

type s3List struct {
	XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name        string
	Prefix      string
	KeyCount    int
	MaxKeys     int
	IsTruncated bool
	Next        string `xml:"NextContinuationToken,omitempty"`
	Contents    []s3Line
	Common      []s3Common `xml:"CommonPrefixes"`
}

type s3Line struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
	StorageClass string
}

type s3Common struct{ Prefix string }

func (c s3Call) list(b *r2Bucket) answer {
	q := c.r.URL.Query()
	l := s3List{Name: b.Name, Prefix: q.Get("prefix"), MaxKeys: 1000}
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n >= 0 {
		l.MaxKeys = min(n, 1000)
	}
	token, err := base64.RawURLEncoding.DecodeString(q.Get("continuation-token"))
	if err != nil {
		return s3Fail(http.StatusBadRequest, "InvalidArgument", "the continuation token isn't one of ours")
	}
	after := max(string(token), q.Get("start-after"))
	delimiter := q.Get("delimiter")
	last := ""
	for _, key := range slices.Sorted(maps.Keys(b.Objects)) {
		if !strings.HasPrefix(key, l.Prefix) || key <= after {
			continue
		}
		group := ""
		if n := strings.Index(key[len(l.Prefix):], delimiter); delimiter != "" && n >= 0 {
			group = key[:len(l.Prefix)+n+len(delimiter)]
			if len(l.Common) > 0 && l.Common[len(l.Common)-1].Prefix == group {
				last = key
				continue
			}
		}
		if l.KeyCount == l.MaxKeys {
			l.IsTruncated, l.Next = true, base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		if last = key; group != "" {
			l.Common = append(l.Common, s3Common{Prefix: group})
		} else {
			o := b.Objects[key]
			l.Contents = append(l.Contents, s3Line{Key: key, LastModified: o.Modified.UTC().Format(time.RFC3339), ETag: o.ETag, Size: len(o.Body), StorageClass: "STANDARD"})
		}
		l.KeyCount++
	}
	return s3XML(http.StatusOK, l)
}

func s3Fail(status int, code, message string) answer {
	return s3XML(status, struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
}

func s3XML(status int, v any) answer {
	body, err := xml.Marshal(v)
	if err != nil {
		return answer{status: http.StatusInternalServerError, contentType: "text/plain", body: []byte(err.Error())}
	}
	return answer{status: status, contentType: "application/xml", body: append([]byte(xml.Header), body...)}
}
