package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const maxTestUpload = 1 << 20

// seenUpload is what the handler of the test saw.
type seenUpload struct {
	Fields  map[string]string
	File    *httpapi.File
	Message string
}

func uploadBench(t testing.TB, opts httpapi.Options) (*bench, *seenUpload) {
	b := newBench(t, opts)
	seen := &seenUpload{}
	httpapi.HandleUpload(b.door, "POST", "/ingest", httpapi.Route{MaxBody: func(*tenantconfig.Config) int64 { return maxTestUpload }},
		func(_ context.Context, _ httpapi.Call, u *httpapi.Upload) (httpapi.Answer, error) {
			*seen = seenUpload{Fields: u.Fields, File: u.File}
			if u.IsJSON() {
				var r chatRequest
				if err := u.Decode(&r); err != nil {
					return httpapi.Answer{}, err
				}
				seen.Message = r.Message
			}
			return httpapi.Answer{Data: "ok"}, nil
		})
	return b, seen
}

func form(t testing.TB, fill func(w *multipart.Writer)) (body, contentType string) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String(), "Content-Type: " + w.FormDataContentType()
}

func addFile(t testing.TB, w *multipart.Writer, field, name string, data []byte) {
	p, err := w.CreateFormFile(field, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(data); err != nil {
		t.Fatal(err)
	}
}

func TestUploadsAreTakenInEveryForm(t *testing.T) {
	b, seen := uploadBench(t, httpapi.Options{})
	// Bytes that look like a boundary, line breaks and every byte value must come as sent.
	data := []byte("\r\n--\r\n--x\r\n")
	for i := range 256 {
		data = append(data, byte(i))
	}
	data = bytes.Repeat(data, 700)
	body, kind := form(t, func(w *multipart.Writer) {
		_ = w.WriteField("docId", "a/b \"ü\"")
		addFile(t, w, "file", "../../dir/rep ort.pdf", data)
		_ = w.WriteField("title", "")
	})
	if a := b.do("POST", "/ingest", body, bearerAcme, kind); a.Status != 200 {
		t.Fatalf("form: %d %s", a.Status, a.Body)
	}
	want := seenUpload{
		Fields: map[string]string{"docId": "a/b \"ü\"", "title": ""},
		File:   &httpapi.File{Field: "file", Name: "rep ort.pdf", ContentType: "application/octet-stream", Data: data},
	}
	if diff := cmp.Diff(want, *seen); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	if a := b.do("POST", "/ingest", string(data), bearerAcme, "Content-Type: Application/PDF; x=y"); a.Status != 200 {
		t.Fatalf("raw: %d %s", a.Status, a.Body)
	}
	if diff := cmp.Diff(seenUpload{File: &httpapi.File{ContentType: "application/pdf", Data: data}}, *seen); diff != "" {
		t.Errorf("raw (-want +got):\n%s", diff)
	}
	for _, kind := range []string{"application/json; charset=utf-8", "application/x-www-form-urlencoded", "application/vnd.x+json", ""} {
		*seen = seenUpload{}
		if a := b.do("POST", "/ingest", `{"message":"hi"}`, bearerAcme, "Content-Type: "+kind); a.Status != 200 || seen.Message != "hi" {
			t.Errorf("%q: %d %s", kind, a.Status, a.Body)
		}
	}
}

// part is one part written by hand.
func part(headers, body string) string { return "--B\r\n" + headers + "\r\n\r\n" + body + "\r\n" }

func TestMalformedUploadsAreRefused(t *testing.T) {
	b, _ := uploadBench(t, httpapi.Options{})
	const named = `Content-Disposition: form-data; name="a"`
	const file = `Content-Disposition: form-data; name="f"; filename="x"`
	multi := "Content-Type: multipart/form-data; boundary=B"
	whole := part(named, "1") + "--B--\r\n"
	big := strings.Repeat("x", maxTestUpload)
	for name, tc := range map[string]struct {
		kind, body string
		status     int
		code       string
	}{
		"no boundary":         {"Content-Type: multipart/form-data", whole, 400, "invalid_form"},
		"other boundary":      {"Content-Type: multipart/form-data; boundary=C", whole, 400, "invalid_form"},
		"huge boundary":       {"Content-Type: multipart/form-data; boundary=" + strings.Repeat("B", 10_000), whole, 400, "invalid_form"},
		"empty":               {multi, "", 400, "invalid_form"},
		"never ends":          {multi, part(named, "1"), 400, "invalid_form"},
		"ends in the headers": {multi, "--B\r\nContent-Disp", 400, "invalid_form"},
		"ends in a file":      {multi, "--B\r\n" + file + "\r\n\r\nhalf", 400, "invalid_form"},
		"half an end":         {multi, part(named, "1") + "--B-", 400, "invalid_form"},
		"no disposition":      {multi, part("X: y", "1") + "--B--\r\n", 400, "invalid_form"},
		"no name":             {multi, part("Content-Disposition: form-data", "1") + "--B--\r\n", 400, "invalid_form"},
		"attachment":          {multi, part(`Content-Disposition: attachment; name="a"`, "1") + "--B--\r\n", 400, "invalid_form"},
		"field twice":         {multi, part(named, "1") + whole, 400, "invalid_form"},
		"two files":           {multi, part(file, "1") + part(file, "2") + "--B--\r\n", 400, "invalid_form"},
		"long field":          {multi, part(named, strings.Repeat("x", 64<<10+1)) + "--B--\r\n", 400, "invalid_form"},
		"field of bytes":      {multi, part(named, "\xff\xfe") + "--B--\r\n", 400, "invalid_form"},
		"encoded part":        {multi, part(named+"\r\nContent-Transfer-Encoding: base64", "MQ==") + "--B--\r\n", 400, "invalid_form"},
		"long file name":      {multi, part(`Content-Disposition: form-data; name="f"; filename="`+strings.Repeat("x", 300)+`"`, "1") + "--B--\r\n", 400, "invalid_form"},
		"long header":         {multi, part(named+"\r\nX: "+strings.Repeat("y", 64<<10), "1") + "--B--\r\n", 400, "invalid_form"},
		"many headers":        {multi, part(named+strings.Repeat("\r\nX: y", 20_000), "1") + "--B--\r\n", 400, "invalid_form"},
		"long preamble":       {multi, strings.Repeat("x", 64<<10) + "\r\n" + whole, 400, "invalid_form"},
		"100000 parts":        {"Content-Type: multipart/form-data; boundary=B", strings.Repeat("--B\r\n\r\n\r\n", 100_000) + "--B--\r\n", 400, "invalid_form"},
		"33 fields":           {multi, numbered(33) + "--B--\r\n", 400, "invalid_form"},
		"file over the limit": {multi, part(file, big) + "--B--\r\n", 413, "payload_too_large"},
		"long epilogue":       {multi, whole + big, 413, "payload_too_large"},
		"raw over the limit":  {"Content-Type: text/plain", big + "x", 413, "payload_too_large"},
		"json over the limit": {"Content-Type: application/json", big + "x", 413, "payload_too_large"},
		"no json":             {"Content-Type: application/json", `{"message":"a","message":"b"}`, 400, "invalid_json"},
		"json not valid":      {"Content-Type: application/json", `{"message":""}`, 400, "invalid_request"},
		"mixed":               {"Content-Type: multipart/mixed; boundary=B", whole, 415, "unsupported_media_type"},
		"malformed type":      {"Content-Type: ;;", whole, 415, "unsupported_media_type"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/ingest", strings.NewReader(tc.body))
				if err != nil {
					t.Fatal(err)
				}
				if chunked {
					r.ContentLength = -1
				}
				name, value, _ := strings.Cut(tc.kind, ": ")
				r.Header.Set(name, value)
				r.Header.Set("X-Api-Key", acmeKey)
				res, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				if a := b.read(res); a.Status != tc.status || a.Error.Code != tc.code {
					t.Errorf("chunked %v: %d %s", chunked, a.Status, a.Body)
				}
			}
		})
	}
	body, kind := form(t, func(w *multipart.Writer) { addFile(t, w, "f", "x", []byte(big[:maxTestUpload-1000])) })
	if a := b.do("POST", "/ingest", body, bearerAcme, kind); a.Status != 200 {
		t.Errorf("a good upload afterwards: %d %s", a.Status, a.Body)
	}
}

func numbered(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(part(fmt.Sprintf(`Content-Disposition: form-data; name="f%d"`, i), "1"))
	}
	return s.String()
}

func TestASlowUploadIsCutOff(t *testing.T) {
	b, _ := uploadBench(t, httpapi.Options{BodyTimeout: 100 * time.Millisecond})
	for name, head := range map[string]string{
		"form": "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nabc",
		"raw":  "Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\nabc",
	} {
		if a := b.raw("POST /ingest HTTP/1.1\r\nHost: x\r\n" + bearerAcme + "\r\n" + head); a.Status != 408 || a.Error.Code != "request_timeout" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

// Many uploads at once get no more memory than there is, and those that were refused
// free what they had.
func TestUploadsAtOnceAreBoundedInMemory(t *testing.T) {
	const size, limit = 4 << 20, 13 << 20
	b := newBench(t, httpapi.Options{})
	httpapi.SetUploadRoom(b.door, limit)
	in, leave := make(chan struct{}, 8), make(chan struct{})
	httpapi.HandleUpload(b.door, "POST", "/big", httpapi.Route{MaxBody: func(*tenantconfig.Config) int64 { return size }},
		func(_ context.Context, _ httpapi.Call, u *httpapi.Upload) (httpapi.Answer, error) {
			n := len(u.File.Data)
			u.File.Data = nil
			in <- struct{}{}
			<-leave
			return httpapi.Answer{Data: n}, nil
		})
	send := func() (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/big", io.LimitReader(blanks{}, size))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		r.Header.Set("X-Api-Key", acmeKey)
		r.Header.Set("Content-Type", "text/plain")
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer func() { _ = res.Body.Close() }()
		return res.StatusCode, res.Header.Get("Retry-After")
	}
	done := make(chan int, 3)
	for range limit / size {
		go func() {
			status, _ := send()
			done <- status
		}()
		<-in
	}
	if status, after := send(); status != 503 || after == "" {
		t.Errorf("one too many: %d, Retry-After %q", status, after)
	}
	close(leave)
	for range limit / size {
		if status := <-done; status != 200 {
			t.Errorf("one of those that fit: %d", status)
		}
	}
	if status, _ := send(); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// blanks never ends.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func FuzzForm(f *testing.F) {
	f.Add("B", part(`Content-Disposition: form-data; name="a"`, "1")+"--B--\r\n")
	f.Add("B", part(`Content-Disposition: form-data; name="f"; filename="x"`, "1")+"--B--")
	f.Add(`"B C"`, "--B C\r\n\r\n\r\n--B C--")
	b, seen := uploadBench(f, httpapi.Options{})
	f.Fuzz(func(t *testing.T, boundary, body string) {
		*seen = seenUpload{}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "/ingest", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-Api-Key": {acmeKey}, "Content-Type": {"multipart/form-data; boundary=" + boundary}}
		rec := newPlainRecorder()
		b.door.ServeHTTP(rec, r)
		<-b.seen
		if rec.status >= 500 {
			t.Fatalf("%d %s", rec.status, rec.body.String())
		}
		if len(seen.Fields) > 32 || seen.File != nil && !strings.Contains(body, string(seen.File.Data)) {
			t.Fatalf("made up: %+v", seen)
		}
	})
}

type plainRecorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newPlainRecorder() *plainRecorder { return &plainRecorder{header: http.Header{}} }

func (r *plainRecorder) Header() http.Header         { return r.header }
func (r *plainRecorder) WriteHeader(status int)      { r.status = status }
func (r *plainRecorder) Write(p []byte) (int, error) { return r.body.Write(p) }
