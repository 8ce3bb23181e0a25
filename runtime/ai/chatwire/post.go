package chatwire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Post is a call of a model that isn't a conversation.
type Post struct {
	// URL of the call, made of the driver's own address.
	URL string
	// Model, as Prepare is told.
	Model string
	// TraceID joins the upstream's log with ours.
	TraceID string
	// Accept is what the answer may be; JSON if empty.
	Accept string
	// Body is sent as JSON. The same value always gives the same bytes.
	Body any
}

// Post makes the call and gives an answer of status 200; all else is an *ai.Error. Like
// a conversation it is tried once more if the upstream gave no byte, or an overload's
// status. The caller closes the reply.
func (c *Client) Post(ctx context.Context, t tenancy.ID, p Post) (*Reply, error) {
	if t.IsZero() {
		return nil, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("a model is called for a tenant, and none was named")}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p.Body); err != nil {
		return nil, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("a number of the request is no number")}
	}
	o := outgoing{url: p.URL, model: p.Model, trace: p.TraceID, accept: p.Accept, body: bytes.TrimSuffix(buf.Bytes(), []byte("\n"))}
	if o.accept == "" {
		o.accept = "application/json"
	}
	k, err := c.send(ctx, t, o)
	if err != nil {
		return nil, err
	}
	return &Reply{c: c, k: k}, nil
}

// Reply is an answer that is being read. It is used by one goroutine.
type Reply struct {
	c *Client
	k *exchange
}

// ContentType of the answer.
func (r *Reply) ContentType() string { return r.k.contentType }

// Read reads the answer's bytes; what ends them early is an *ai.Error.
func (r *Reply) Read(p []byte) (int, error) {
	n, err := r.k.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, r.k.failure(err, ai.KindTruncated)
	}
	return n, err
}

// Close ends the call. It may be called at any time, more than once.
func (r *Reply) Close() error {
	r.k.end()
	return nil
}

// JSON reads the answer into v. A refusal that came with status 200 is the error that
// it is.
func (r *Reply) JSON(v any) error {
	body, err := r.k.whole()
	if err != nil {
		return err
	}
	var f frame
	if f.read(body) && f.refused {
		return r.c.refusal(Refusal{Status: r.k.status, Body: body}, nil)
	}
	if json.Unmarshal(body, v) != nil {
		return &ai.Error{Kind: ai.KindMalformed, Status: r.k.status, Err: errors.New("the answer isn't what this kind of model gives")}
	}
	return nil
}
