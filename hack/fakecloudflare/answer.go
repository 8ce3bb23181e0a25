package fakecloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// answer is what goes back. A stream writes its body itself, piece by piece.
type answer struct {
	status      int
	header      http.Header
	contentType string
	body        []byte
	stream      func(ctx context.Context, out *pieces)
	truncate    int
}

// envelope is the frame of the REST API.
type envelope struct {
	Success    bool      `json:"success"`
	Errors     []apiFail `json:"errors"`
	Messages   []apiFail `json:"messages"`
	Result     any       `json:"result"`
	ResultInfo any       `json:"result_info,omitempty"`
}

type apiFail struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Path    []string  `json:"path,omitempty"`
	Chain   []apiFail `json:"error_chain,omitempty"`
}

func ok(result any) answer { return page(result, nil) }

func page(result, info any) answer {
	return jsonAnswer(http.StatusOK, envelope{Success: true, Errors: []apiFail{}, Messages: []apiFail{}, Result: result, ResultInfo: info})
}

func fail(status, code int, format string, args ...any) answer {
	return failWith(status, apiFail{Code: code, Message: fmt.Sprintf(format, args...)})
}

func failWith(status int, errs ...apiFail) answer {
	return jsonAnswer(status, envelope{Errors: errs, Messages: []apiFail{}})
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{status: http.StatusInternalServerError, contentType: "text/plain", body: []byte(err.Error())}
	}
	return answer{status: status, contentType: "application/json", body: body}
}

func raw(contentType string, body []byte) answer {
	return answer{status: http.StatusOK, contentType: contentType, body: body}
}

func (a answer) with(name, value string) answer {
	h := a.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set(name, value)
	a.header = h
	return a
}

func (a answer) write(w http.ResponseWriter, c *call) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	h.Set("Cf-Ray", c.ray)
	if a.truncate > 0 {
		// The length tells the client that something is missing.
		if a.stream == nil {
			h.Set("Content-Length", strconv.Itoa(len(a.body)))
		}
		w.WriteHeader(a.status)
		out := &pieces{w: w, flush: http.NewResponseController(w), left: a.truncate, limited: true}
		if a.stream != nil {
			a.stream(c.r.Context(), out)
		} else {
			out.write(a.body)
		}
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	if a.stream != nil {
		a.stream(c.r.Context(), &pieces{w: w, flush: http.NewResponseController(w)})
		return
	}
	if c.r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // a client that is gone wants nothing
	}
}

// pieces writes a body bit by bit; once it may write no more it says false.
type pieces struct {
	w       http.ResponseWriter
	flush   *http.ResponseController
	limited bool
	left    int
}

func (p *pieces) write(b []byte) bool {
	more := true
	if p.limited {
		if len(b) >= p.left {
			b, more = b[:p.left], false
		}
		p.left -= len(b)
	}
	if _, err := p.w.Write(b); err != nil {
		return false
	}
	return p.flush.Flush() == nil && more
}

// paged cuts one page out of a list by page and per_page.
func paged[T any](c *call, all []T, size, most int) answer {
	q := c.r.URL.Query()
	number := 1
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 {
		number = n
	}
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		size = min(n, most)
	}
	from := min((number-1)*size, len(all))
	shown := all[from:min(from+size, len(all))]
	if shown == nil {
		shown = []T{}
	}
	return page(shown, map[string]any{"page": number, "per_page": size, "count": len(shown), "total_count": len(all), "total_pages": (len(all) + size - 1) / size})
}
