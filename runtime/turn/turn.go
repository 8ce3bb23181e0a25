package turn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
)

const (
	// defaultSteps is how often results go back to the model where the tenant says nothing.
	defaultSteps = 8
	// defaultContext is a prompt's bound in tokens where the tenant sets none.
	defaultContext = 8192
	// maxAnswerBytes bounds what one turn holds in memory, whatever an upstream sends.
	maxAnswerBytes = 4 << 20
	// paragraph stands between the texts of two steps. It also keeps the second one from
	// continuing an address that the first one began, where no filter was yet.
	paragraph = "\n\n"
)

// Turn is one question on its way to its answer. One goroutine uses it.
type Turn struct {
	r       *Runner
	p       Params
	ctx     context.Context
	cancel  context.CancelFunc
	sink    Sink
	answer  func() (said, error)
	chatter ai.Chain
	offered []ai.Tool

	messages  []ai.Message
	returns   int // how often results went back
	admission *limits.Admission
	asked     time.Time // when the step began
	begun     time.Time
	upstream  ai.Stream // accepted and not yet read
	speaking  ai.Stream // the one that is being read

	untrusted bool
	filter    *guard.Filter
	told      strings.Builder // all that went out
	raw       strings.Builder // what the model wrote in this step, where that differs
	from      int             // where this step's text begins in told
	between   bool            // a paragraph goes before the next text
	spoke     bool            // the model wrote something
	work      workload
	out       Outcome
}

// said is what came of one step.
type said struct {
	text       string
	calls      []ai.ToolCall
	finish     string
	usage      ai.Usage
	model      string // empty if no model accepted
	firstToken time.Duration
}

func (r *Runner) begin(ctx context.Context, p Params) *Turn {
	t := &Turn{r: r, p: p, admission: p.Admission, begun: r.Now()}
	t.ctx, t.cancel = context.WithCancel(ctx)
	for i := range p.Tools {
		t.offered = append(t.offered, p.Tools[i].Tool)
	}
	t.offered = append(t.offered, p.ClientTools...)
	t.messages = append(make([]ai.Message, 0, len(p.Messages)+4), p.Messages...)
	t.chatter = ai.Chain{Chatter: tolerant{
		next: r.Models.Chatter(p.Call.Tenant), models: &r.plain, tenant: p.Call.Tenant, strict: p.MustHaveTools, now: r.Now,
	}, Models: p.Models}
	t.out.Model = p.Models[0]
	t.work.left = maxCalls
	t.work.bytes = maxTurnResults
	if p.Hearsay || t.foreign("") {
		t.filter = guard.NewFilter(t.policy())
	}
	if p.Untrusted {
		t.distrust()
	}
	return t
}

// distrust is called once text that nobody vouches for is before the model.
func (t *Turn) distrust() {
	if t.untrusted {
		return
	}
	t.untrusted = true
	if t.filter == nil {
		t.filter = guard.NewFilter(t.policy())
	}
	if len(t.messages) > 0 && t.messages[0].Role == ai.RoleSystem {
		t.messages[0].Content += "\n\n" + guard.Rules
		return
	}
	t.messages = append([]ai.Message{{Role: ai.RoleSystem, Content: guard.Rules}}, t.messages...)
}

// run goes from step to step until the end.
func (t *Turn) run() (Outcome, error) {
	err := t.steps()
	return t.end(), err
}

func (t *Turn) steps() (err error) {
	defer recovered("answering", &err)
	for {
		s, err := t.step()
		if err != nil {
			return err
		}
		theirs, ours := t.sort(s.calls)
		switch {
		case len(theirs) > 0:
			t.out.Calls = theirs
			return nil
		case len(ours) == 0:
			return nil
		case t.last() && t.spoke:
			return nil
		case t.last():
			return &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the model calls tools where none may be called")}
		}
		if err := t.use(s, ours); err != nil {
			return err
		}
	}
}

// last tells that the step under way is the one that must answer.
func (t *Turn) last() bool { return t.returns >= t.maxSteps() }

func (t *Turn) maxSteps() int {
	if n := t.p.Call.Tenant.Config.Tools.MaxSteps; n > 0 {
		return n
	}
	return defaultSteps
}

// step asks a model once, and settles it.
func (t *Turn) step() (said, error) {
	if t.upstream == nil {
		if err := t.reserve(); err != nil {
			return said{}, err
		}
	}
	s, err := t.answer()
	t.settle(s, err)
	return s, err
}

// end gives the outcome, after what the filter held back.
func (t *Turn) end() Outcome {
	if t.filter != nil {
		if rest := t.filter.Flush(); rest != "" {
			t.told.WriteString(rest)
			_ = t.sink.Text(rest) // the turn is over, whether or not somebody listens
		}
		t.out.Cited = t.filter.Cited()
	}
	t.out.Text, t.out.Untrusted = t.told.String(), t.untrusted || t.p.Hearsay
	return t.out
}

func (t *Turn) request() ai.ChatRequest {
	req := ai.ChatRequest{
		Model: t.p.Models[0], Messages: t.messages, MaxTokens: t.p.MaxTokens, Temperature: t.p.Temperature,
		Sampling: t.p.Sampling, Grounds: t.p.Grounds, TraceID: t.p.Call.TraceID,
	}
	if len(t.offered) == 0 {
		return req
	}
	req.Tools, req.OneTool = t.offered, t.p.OneTool
	switch {
	case t.last():
		req.ToolChoice = ai.ToolsNone
	case t.returns == 0:
		req.ToolChoice = t.p.ToolChoice
	}
	return req
}

// open is the first step of a stream up to the upstream's yes.
func (t *Turn) open() error {
	if err := t.reserve(); err != nil {
		return err
	}
	err := t.connect()
	if err != nil {
		t.settle(said{}, err)
	}
	return err
}

func (t *Turn) connect() (err error) {
	defer recovered("calling the model", &err)
	t.upstream, err = t.chatter.Stream(t.ctx, t.p.Call.Tenant.ID, t.request())
	return err
}

// stream passes on each token as it arrives.
func (t *Turn) stream() (s said, err error) {
	defer recovered("streaming", &err)
	if t.upstream == nil {
		if err := t.connect(); err != nil {
			return s, err
		}
	}
	up := t.upstream
	t.upstream, t.speaking = nil, up
	defer func() {
		t.speaking = nil
		s.model, s.text = up.Model(), t.written()
		_ = up.Close() // the answer is over, whatever this says
	}()
	t.newText()
	for {
		chunk, err := up.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if chunk.Usage != nil {
			s.usage = *chunk.Usage
		}
		if chunk.Finish != "" {
			s.finish = chunk.Finish
		}
		s.calls = append(s.calls, chunk.ToolCalls...)
		if chunk.Text == "" {
			continue
		}
		if s.firstToken == 0 {
			s.firstToken = max(t.r.Now().Sub(t.asked), 1)
		}
		if err := t.say(chunk.Text); err != nil {
			return s, &ai.Error{Kind: ai.KindCanceled, Err: err}
		}
		if t.told.Len()+t.raw.Len() > maxAnswerBytes {
			return s, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the answer is longer than any that was asked for")}
		}
	}
}

// complete waits for a whole answer.
func (t *Turn) complete() (s said, err error) {
	defer recovered("calling the model", &err)
	a, err := t.chatter.Complete(t.ctx, t.p.Call.Tenant.ID, t.request())
	if err != nil {
		return s, err
	}
	s = said{calls: a.ToolCalls, finish: a.Finish, usage: a.Usage, model: a.Model}
	t.newText()
	if a.Text != "" {
		err = t.say(a.Text)
	}
	s.text = t.written()
	return s, err
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
