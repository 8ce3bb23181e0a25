package fakecloudflare

import (
	"net/http"
	"net/url"
	"strings"
)

// operation is one thing that can be called. Its path is the document's.
type operation struct {
	method, path, id, kind string
	// groups are the permission groups of which a token must have one; none means that
	// any token will do.
	groups []string
	do     func(*call) answer
	// takesJSON: the body is one JSON value.
	takesJSON bool
	// anyType: and its Content-Type doesn't matter. Wrangler makes buckets with text/plain.
	anyType bool
	// malformed makes the refusal of a call that breaks the document; at is where.
	malformed func(c *call, at []string, problem string) answer
	// deny dresses the refusal of a call that never got in.
	deny func(answer) answer
	// unlocked: do takes the lock by itself, because it is slow.
	unlocked bool
	// verifies: it is for a token to ask about itself.
	verifies bool
	// gateway: it isn't on the REST API and has no budget there.
	gateway   bool
	inference bool
	// undocumented: Cloudflare's document doesn't have it.
	undocumented bool

	segments []string
}

// named are the path's variables by their names.
func (o *operation) named(params []string) map[string]string {
	named := map[string]string{}
	n := 0
	for _, s := range o.segments {
		if strings.HasPrefix(s, "{") {
			named[strings.Trim(s, "{}")] = params[n]
			n++
		}
	}
	return named
}

func read(product string) []string  { return []string{product + " Write", product + " Read"} }
func write(product string) []string { return []string{product + " Write"} }

// operations are all that the fake plays.
var operations = func() []*operation {
	var all []*operation
	for _, list := range [][]operation{kvOperations, d1Operations, r2Operations, vectorizeOperations, gatewayOperations, tokenOperations, aiOperations} {
		for _, o := range list {
			o.segments = strings.Split(strings.TrimPrefix(o.path, "/"), "/")
			if o.malformed == nil {
				o.malformed = func(_ *call, _ []string, problem string) answer {
					return fail(http.StatusBadRequest, 10001, "%s", problem)
				}
			}
			if o.deny == nil {
				o.deny = func(a answer) answer { return a }
			}
			all = append(all, &o)
		}
	}
	return all
}()

// byLength are the operations by the number of their segments and where they lie.
var byLength = func() map[int][]*operation {
	m := map[int][]*operation{}
	for _, o := range operations {
		m[len(o.segments)] = append(m[len(o.segments)], o)
	}
	return m
}()

const restBase = "/client/v4"

// route finds the operation of a request, or why there is none. Segments are compared
// as they were escaped, so a slash inside of an id is no slash.
func route(r *http.Request) (*operation, []string, answer) {
	path, rest := strings.CutPrefix(r.URL.EscapedPath(), restBase)
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	wrongMethod := false
	for _, o := range byLength[len(segments)] {
		if o.gateway == rest {
			continue
		}
		params, fits := o.match(segments)
		if !fits {
			continue
		}
		if o.method == r.Method {
			return o, params, answer{}
		}
		wrongMethod = true
	}
	if wrongMethod {
		return nil, nil, fail(http.StatusMethodNotAllowed, 7001, "Method %s not available for that URI.", r.Method)
	}
	return nil, nil, failWith(http.StatusNotFound,
		apiFail{Code: 7003, Message: "Could not route to " + r.URL.Path + ", perhaps your object identifier is invalid?"},
		apiFail{Code: 7000, Message: "No route for that URI"})
}

func (o *operation) match(segments []string) ([]string, bool) {
	var params []string
	for i, want := range o.segments {
		have, err := url.PathUnescape(segments[i])
		switch {
		case err != nil || have == "":
			return nil, false
		case strings.HasPrefix(want, "{"):
			params = append(params, have)
		case have != want:
			return nil, false
		}
	}
	return params, true
}
