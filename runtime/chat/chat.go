package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

const feature = "chat"

// Needs are what chat asks of other rooms. All but Now, Retriever, Toolbox and Cache are
// required.
type Needs struct {
	History   History
	Gate      Gate
	Turns     Turns
	Recorder  Recorder
	Estimator *ai.Estimator
	Logger    *slog.Logger
	// Retriever finds passages; nil if this process has no documents.
	Retriever Retriever
	// Toolbox has the tools; nil if this process has none. It is the one that Turns runs.
	Toolbox turn.Toolbox
	// Cache keeps summaries of long conversations; nil keeps none.
	Cache Cache
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Feature is POST /chat.
type Feature struct{ Needs }

// New makes the feature.
func New(n Needs) *Feature {
	if n.Now == nil {
		n.Now = time.Now
	}
	return &Feature{n}
}

// Mount adds the feature's route.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.Handle(d, http.MethodPost, "/chat", httpapi.Route{}, f.chat)
}

// chat answers POST /chat.
func (f *Feature) chat(ctx context.Context, c httpapi.Call, req Request) (httpapi.Answer, error) {
	x, err := f.begin(ctx, c, &req)
	if err != nil {
		return httpapi.Answer{}, err
	}
	if req.wantsStream() {
		return f.stream(ctx, x)
	}
	return f.whole(ctx, x)
}

// exchange is one question on its way to its answer.
type exchange struct {
	settings
	feature *Feature
	call    httpapi.Call
	req     *Request
	owner   storage.Owner
	// session is in lower case.
	session   string
	tools     []turn.Tool
	prompt    prompt
	admission *limits.Admission // nil once a turn settles it
	asked     time.Time
}

// begin does everything that comes before the model and costs nothing: what the request
// may ask, and what it may cost.
func (f *Feature) begin(ctx context.Context, c httpapi.Call, req *Request) (*exchange, error) {
	cfg := c.Tenant.Config
	s, err := f.settle(req, cfg)
	if err != nil {
		return nil, err
	}
	if req.UserID != "" {
		if c.Caller, err = c.Caller.WithUser(req.UserID); err != nil {
			return nil, httpapi.Invalid("userId", err.Error())
		}
	}
	x := &exchange{
		settings: s, feature: f, call: c, req: req, owner: storage.Owner{Caller: c.Caller.ID()},
		session: strings.ToLower(req.SessionID), asked: f.Now(),
		prompt: prompt{system: c.Tenant.SystemPrompt(), message: req.Message},
	}
	if f.Toolbox != nil && cfg.Tools.Enabled && (req.UseTools == nil || *req.UseTools) {
		x.tools = f.Toolbox.Tools(ctx, c)
	}
	x.admission, err = f.Gate.Admit(ctx, c, limits.Ask{Models: s.models, MaxOut: s.maxTokens, Prompt: x.estimate})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// afterwards is the context of what is done once the model has answered: it goes on
// without the client, for a bounded time.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
}

// storeTimeout bounds the writes that may outlive their request.
const storeTimeout = 10 * time.Second

// release gives back what was set aside for a model that wasn't asked.
func (x *exchange) release(ctx context.Context) {
	if x.admission == nil {
		return
	}
	after, done := afterwards(ctx)
	defer done()
	x.admission.Settle(after, x.models[0], ai.Usage{})
	x.admission = nil
}

// ungrounded is the outcome of a question that the documents don't answer: no model is
// asked.
func (x *exchange) ungrounded(ctx context.Context) turn.Outcome {
	x.release(ctx)
	return turn.Outcome{Text: ai.Ungrounded, Finish: "stop"}
}

// keep appends question and answer together. It goes on without the client: its going
// away doesn't undo what was said. An empty answer isn't kept: upstreams refuse a history
// with one.
func (x *exchange) keep(ctx context.Context, out turn.Outcome, partial bool) (err error) {
	if out.Text == "" {
		return nil
	}
	after, done := afterwards(ctx)
	defer done()
	// A panic here would leave a stream without its last events.
	defer recovered("keeping the conversation", &err)
	// Both times are of the end: another request of the session may have been kept since
	// this one was asked, and messages follow each other in time as in order.
	said := x.feature.Now()
	a := storage.Message{Role: storage.RoleAssistant, Content: out.Text, At: said, Partial: partial, Untrusted: out.Untrusted}
	if !out.Usage.Estimated && out.Steps == 1 {
		a.Tokens = out.Usage.Out
	}
	sessions := x.call.Tenant.Config.Sessions
	err = x.feature.History.Append(after, x.call.Tenant.ID, x.owner, x.session,
		[]storage.Message{{Role: storage.RoleUser, Content: x.req.Message, At: said.Add(-time.Millisecond)}, a},
		storage.Keep{MaxMessages: sessions.MaxMessages, Retention: time.Duration(sessions.RetentionDays) * 24 * time.Hour})
	if err != nil {
		return fmt.Errorf("keeping the conversation: %w", err)
	}
	return nil
}

// recovered is deferred, and turns a panic into *err. The panic's own text is left out
// unless the Go runtime wrote it: it could hold what was said.
func recovered(doing string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	what := fmt.Sprintf("%T", v)
	if trap, ok := v.(runtime.Error); ok {
		what = trap.Error()
	}
	*err = fmt.Errorf("%s: panic: %s\n%s", doing, what, debug.Stack())
}

// refused gives the error of a question that brought no whole answer.
func (x *exchange) refused(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return Stopping()
	}
	if e, ok := errors.AsType[*ai.Error](err); ok && e.Kind == ai.KindModelNotFound && x.named {
		return &httpapi.Error{
			Status: http.StatusNotFound, Code: "model_not_found",
			Message: "the provider has no model of this modelId; leave it out, or name one that it has", Cause: err,
		}
	}
	return err
}

// gone tells that nobody is there to be told of err.
func gone(ctx context.Context, err error) bool {
	e, ok := errors.AsType[*ai.Error](err)
	return err != nil && (ctx.Err() != nil || ok && e.Kind == ai.KindCanceled) && !errors.Is(context.Cause(ctx), ErrStopping)
}

func setModelHeaders(h http.Header, model string) {
	h["X-Model-Id"] = []string{model}
}

func setUsageHeaders(h http.Header, u ai.Usage, latency time.Duration) {
	values := [...]string{
		strconv.Itoa(u.In), strconv.Itoa(u.Out), strconv.Itoa(u.In + u.Out),
		strconv.FormatInt(latency.Milliseconds(), 10),
	}
	h["X-Tokens-In"] = values[0:1:1]
	h["X-Tokens-Out"] = values[1:2:2]
	h["X-Tokens-Total"] = values[2:3:3]
	h["X-Ai-Latency-Ms"] = values[3:4:4]
}
