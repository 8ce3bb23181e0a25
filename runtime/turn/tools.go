package turn

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
)

const (
	// maxCalls is how many calls of tools one turn makes, maxAtOnce how many at a time.
	maxCalls, maxAtOnce = 32, 8
	// maxSame is how often the same call is made: a third time is a loop.
	maxSame = 2
	// maxResult and maxTurnResults bound results in bytes, one and all of a turn.
	// leastResult is given of each in any case.
	maxResult, maxTurnResults, leastResult = 32 << 10, 128 << 10, 256
	// roomTokens is given to results even where the prompt seems to fill the context: its
	// length is a guess.
	roomTokens = 1024
)

// Codes of a Result that are made here.
const (
	codeNotFound = "TOOL_NOT_FOUND"
	codeInvalid  = "VALIDATION_FAILED"
	codeDenied   = "PERMISSION_DENIED"
	codeFailed   = "EXECUTION_ERROR"
)

// workload is what the turn's tools have done so far.
type workload struct {
	left  int // calls
	bytes int // of results
	ids   int
	same  map[string]int
}

// job is one call on its way to its result.
type job struct {
	call ai.ToolCall
	tool *Tool // nil if there is none of that name
	id   string
	res  Result
	// settled tells that res is known without running anything.
	settled bool
}

// name is what may be told of the tool: a model can write anything for one.
func (j *job) name() string {
	if j.tool == nil {
		return "unknown"
	}
	return j.tool.Name
}

// sort parts the calls of the client's tools from the others.
func (t *Turn) sort(calls []ai.ToolCall) (theirs, ours []ai.ToolCall) {
	for _, c := range calls {
		if slices.ContainsFunc(t.p.ClientTools, func(tool ai.Tool) bool { return tool.Name == c.Name }) {
			theirs = append(theirs, c)
		} else {
			ours = append(ours, c)
		}
	}
	return theirs, ours
}

// use runs what the model called and puts calls and results before it.
func (t *Turn) use(s said, calls []ai.ToolCall) error {
	jobs := make([]*job, len(calls))
	for i, c := range calls {
		jobs[i] = t.judge(c)
	}
	if err := t.do(jobs); err != nil {
		return err
	}
	asked := ai.Message{Role: ai.RoleAssistant, Content: s.text}
	for _, j := range jobs {
		asked.ToolCalls = append(asked.ToolCalls, j.call)
	}
	t.messages = append(t.messages, asked)
	share := t.share(len(jobs))
	for _, j := range jobs {
		content := t.content(j, share)
		t.messages = append(t.messages, ai.Message{Role: ai.RoleTool, ToolCallID: j.call.ID, Content: content})
	}
	for _, j := range jobs {
		if j.res.Code == "" && !j.tool.Pure {
			t.distrust()
		}
	}
	t.returns++
	return nil
}

// judge decides on a call by what was before the model when it wrote it.
func (t *Turn) judge(c ai.ToolCall) *job {
	t.work.ids++
	j := &job{call: c, id: "call_" + strconv.Itoa(t.work.ids)}
	if i := slices.IndexFunc(t.p.Tools, func(tool Tool) bool { return tool.Name == c.Name }); i >= 0 {
		j.tool = &t.p.Tools[i]
	}
	canonical, ok := canonicalObject(c.Arguments)
	if !ok {
		// Upstreams parse what is sent back to them, and fail on what the model wrote.
		j.call.Arguments = "{}"
	} else if j.call.Arguments == "" {
		j.call.Arguments = canonical
	}
	if t.work.same == nil {
		t.work.same = map[string]int{}
	}
	key := strconv.Itoa(len(c.Name)) + c.Name + canonical
	t.work.same[key]++
	t.work.left--
	refuse := func(code, message string) { j.res, j.settled = Result{Code: code, Message: message}, true }
	switch {
	case t.work.left < 0:
		refuse(codeFailed, "this answer has called "+strconv.Itoa(maxCalls)+" tools already; answer with what there is")
	case j.tool == nil:
		refuse(codeNotFound, "there is no tool of this name; call one of those that are offered, or answer without")
	case !ok:
		refuse(codeInvalid, "the arguments must be one JSON object")
	case t.work.same[key] > maxSame:
		refuse(codeFailed, "this call was made with the same arguments before; use its result, or call something else")
	default:
		if why := t.forbidden(j.tool, canonical); why != "" {
			refuse(codeDenied, why)
		}
	}
	return j
}

// canonicalObject writes a JSON object in one way. No arguments are an empty one.
func canonicalObject(arguments string) (string, bool) {
	if strings.TrimSpace(arguments) == "" {
		return "{}", true
	}
	dec := json.NewDecoder(strings.NewReader(arguments))
	dec.UseNumber()
	var object map[string]any
	if dec.Decode(&object) != nil || object == nil || dec.More() {
		return "", false
	}
	text, err := json.Marshal(object)
	return string(text), err == nil
}

// note is what a worker tells.
type note struct {
	job   *job
	ended bool
	res   Result
	took  time.Duration
}

// do runs the jobs that are to be run, several at once, and waits for them; it doesn't
// wait for a tool that goes on when the turn is over.
func (t *Turn) do(jobs []*job) error {
	var run []*job
	for _, j := range jobs {
		if j.settled {
			t.sink.ToolStarted(j.id, j.name())
			t.sink.ToolEnded(j.id, j.name(), j.res.Code, 0)
		} else {
			run = append(run, j)
		}
	}
	queue, notes := make(chan *job, len(run)), make(chan note, 2*len(run))
	for _, j := range run {
		queue <- j
	}
	close(queue)
	for range min(maxAtOnce, len(run)) {
		go t.work1(queue, notes)
	}
	for left := len(run); left > 0; {
		select {
		case n := <-notes:
			if !n.ended {
				t.sink.ToolStarted(n.job.id, n.job.name())
				continue
			}
			left--
			n.job.res = n.res
			t.sink.ToolEnded(n.job.id, n.job.name(), n.res.Code, n.took)
		case <-t.ctx.Done():
		}
		if err := t.ctx.Err(); err != nil {
			return &ai.Error{Kind: ai.KindCanceled, Err: err}
		}
	}
	return nil
}

// work1 runs jobs until there are none, or the turn is over. Nobody waits for the notes
// then, but there is room for all of them.
func (t *Turn) work1(queue <-chan *job, notes chan<- note) {
	for j := range queue {
		if t.ctx.Err() != nil {
			return
		}
		notes <- note{job: j}
		begun := t.r.Now()
		res := t.runTool(j)
		notes <- note{job: j, ended: true, res: res, took: t.r.Now().Sub(begun)}
	}
}

func (t *Turn) runTool(j *job) (res Result) {
	var err error
	defer func() {
		if err != nil {
			t.r.Logger.Error("a tool panicked", "tenant", t.p.Call.Tenant.ID.String(), "trace_id", t.p.Call.TraceID, "tool", j.tool.Name, "error", err)
			res = Result{Code: codeFailed, Message: "the tool failed on our side"}
		}
	}()
	defer recovered("running a tool", &err)
	return t.r.Toolbox.Run(t.ctx, t.p.Call, j.call.Name, json.RawMessage(j.call.Arguments))
}

// share is how many bytes each of n results may have: within its own bound, what is left
// of the turn's, and what is left of the model's context.
func (t *Turn) share(n int) int {
	context := t.p.Call.Tenant.Config.Prompt.ContextTokens
	if context <= 0 {
		context = defaultContext
	}
	room := max(roomTokens, context-t.p.MaxTokens-t.promptTokens())
	const bytesPerToken = 3 // fewer than most texts have
	return max(leastResult, min(maxResult, t.work.bytes/n, room*bytesPerToken/n))
}

// content is what the model is told of a result.
func (t *Turn) content(j *job, most int) string {
	if j.res.Code != "" {
		var b bytes.Buffer
		// Two strings always are JSON.
		_ = json.NewEncoder(&b).Encode(map[string]any{"error": map[string]string{"code": j.res.Code, "message": j.res.Message}})
		return strings.TrimSpace(b.String())
	}
	text := strings.ToValidUTF8(j.res.Content, "\uFFFD")
	if len(text) > most {
		text = text[:most]
		for len(text) > 0 {
			if r, n := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || n != 1 {
				break
			}
			text = text[:len(text)-1]
		}
		text += "\n[cut here: the result is longer]"
	}
	t.work.bytes = max(0, t.work.bytes-len(text))
	return guard.Fence("tool", j.tool.Name, text)
}
