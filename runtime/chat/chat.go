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
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const feature = "chat"

// Needs are what chat asks of other rooms. All but Now are required.
type Needs struct {
	History   History
	Gate      Gate
	Models    Models
	Recorder  Recorder
	Estimator *ai.Estimator
	Logger    *slog.Logger
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Feature is POST /chat.
type Feature struct {
	history   History
	gate      Gate
	models    Models
	recorder  Recorder
	estimator *ai.Estimator
	logger    *slog.Logger
	now       func() time.Time
	prompts   prompts
}

// New makes the feature.
func New(n Needs) *Feature {
	if n.Now == nil {
		n.Now = time.Now
	}
	return &Feature{
		history: n.History, gate: n.Gate, models: n.Models, recorder: n.Recorder,
		estimator: n.Estimator, logger: n.Logger, now: n.Now,
	}
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
		return f.stream(ctx, c, x)
	}
	return f.whole(ctx, c, x)
}

// exchange is one question on its way to its answer.
type exchange struct {
	settings
	feature *Feature
	tenant  *tenancy.Tenant
	trace   string
	owner   storage.Owner
	// session is in lower case; sessionAsked is what the client wrote.
	session, sessionAsked string
	message               string
	chatter               ai.Chatter
	prompt                []ai.Message
	promptTokens          int
	admission             *limits.Admission
	asked                 time.Time
	billed                bool
	// used is what was billed.
	used ai.Usage
}

// begin does everything that comes before the model: what the request may ask, and
// what it may cost.
func (f *Feature) begin(ctx context.Context, c httpapi.Call, req *Request) (*exchange, error) {
	s, err := req.settle(c.Tenant.Config)
	if err != nil {
		return nil, err
	}
	if req.UserID != "" {
		if c.Caller, err = c.Caller.WithUser(req.UserID); err != nil {
			return nil, httpapi.Invalid("userId", err.Error())
		}
	}
	x := &exchange{
		settings: s, feature: f, tenant: c.Tenant, trace: c.TraceID,
		owner:   storage.Owner{Caller: c.Caller.ID()},
		session: strings.ToLower(req.SessionID), sessionAsked: req.SessionID, message: req.Message,
		asked: f.now(),
	}
	x.chatter = ai.Chain{Chatter: f.models.Chatter(c.Tenant), Models: s.models}
	x.admission, err = f.gate.Admit(ctx, c, limits.Ask{Models: s.models, MaxOut: s.maxTokens, Prompt: func(ctx context.Context) (int, error) {
		x.prompt, err = f.conversation(ctx, c.Tenant, x)
		if err != nil {
			return 0, err
		}
		x.promptTokens = f.estimator.Messages(s.models[0], x.prompt)
		return x.promptTokens, nil
	}})
	if err != nil {
		return nil, err
	}
	return x, nil
}

func (x *exchange) request() ai.ChatRequest {
	return ai.ChatRequest{
		Model: x.models[0], Messages: x.prompt, MaxTokens: x.maxTokens,
		Temperature: x.temperature, TraceID: x.trace,
	}
}

// afterwards is the context of what is done once the model has answered: it goes on
// without the client, for a bounded time.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
}

// bill settles the budget and records the call, once. after is from afterwards.
func (x *exchange) bill(after context.Context, call telemetry.Call, u ai.Usage) {
	if x.billed {
		return
	}
	x.billed, x.used = true, u
	call.Feature, call.In, call.Out = feature, u.In, u.Out
	call.Latency = x.feature.now().Sub(x.asked)
	call.MicroUSD = x.admission.Settle(after, call.Model, u)
	x.feature.recorder.Record(after, x.tenant.ID, call)
	if !u.Estimated && call.Outcome == telemetry.OutcomeOK {
		x.feature.estimator.Learn(call.Model, x.prompt, u.In)
	}
}

// keep appends question and answer together. after is from afterwards: the client's
// going away doesn't undo what was said. An empty answer isn't kept: upstreams refuse a history with one.
func (x *exchange) keep(after context.Context, answer string, u ai.Usage, partial bool) (err error) {
	if answer == "" {
		return nil
	}
	// A panic here would leave a stream without its last events.
	defer recovered("keeping the conversation", &err)
	// Both times are of the end: another request of the session may have been kept since
	// this one was asked, and messages follow each other in time as in order.
	said := x.feature.now()
	a := storage.Message{Role: storage.RoleAssistant, Content: answer, At: said, Partial: partial}
	if !u.Estimated {
		a.Tokens = u.Out
	}
	err = x.feature.history.Append(after, x.tenant.ID, x.owner, x.session,
		[]storage.Message{{Role: storage.RoleUser, Content: x.message, At: said.Add(-time.Millisecond)}, a},
		storage.Keep{
			MaxMessages: x.tenant.Config.Sessions.MaxMessages,
			Retention:   time.Duration(x.tenant.Config.Sessions.RetentionDays) * 24 * time.Hour,
		})
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

// storeTimeout bounds the writes that may outlive their request.
const storeTimeout = 10 * time.Second

// refused gives the error of a call that brought no answer, after it was billed.
func (x *exchange) refused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrStopping) {
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

// outcomeOf names how a call ended that failed with err.
func outcomeOf(ctx context.Context, err error) string {
	e, ok := errors.AsType[*ai.Error](err)
	switch {
	case ctx.Err() != nil, ok && e.Kind == ai.KindCanceled:
		return telemetry.OutcomeCanceled
	case ok && e.Kind == ai.KindTruncated:
		return telemetry.OutcomeTruncated
	default:
		return telemetry.OutcomeError
	}
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
