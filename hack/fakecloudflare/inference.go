package fakecloudflare

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// openAI is a door in OpenAI's shape: the body names the model.
func openAI(do func(*call, model) answer) func(*call) answer {
	return func(c *call) answer {
		var body struct {
			Model string `json:"model"`
		}
		if err := json.Unmarshal(c.body, &body); err != nil || body.Model == "" {
			return openAIFail(http.StatusBadRequest, "5004", "model is required")
		}
		m, refusal, known := findModel(strings.TrimPrefix(body.Model, "workers-ai/"))
		if !known {
			code := "5007"
			if refusal.status == http.StatusNotFound {
				code = "3042"
			}
			return openAIFail(refusal.status, code, "No such model "+body.Model)
		}
		return do(c, m)
	}
}

func openAIFail(status int, code, message string) answer {
	return jsonAnswer(status, map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "code": code, "param": nil}})
}

// runAt is the native door; the model's name is in the path from the n-th variable on.
func runAt(n int) func(*call) answer {
	return func(c *call) answer { return runModel(c, strings.Join(c.params[n:], "/")) }
}

// runNamed is the door whose body names the model and holds the input.
func runNamed(c *call) answer {
	var body struct {
		Model string          `json:"model"`
		Input json.RawMessage `json:"input"`
	}
	if err := decode(c.body, &body); err != nil || body.Model == "" || len(body.Input) == 0 {
		return fail(http.StatusBadRequest, 5004, "model and input are required")
	}
	c.body = body.Input
	return runModel(c, body.Model)
}

func runModel(c *call, name string) answer {
	m, refusal, known := findModel(name)
	if !known {
		return refusal
	}
	switch m.task {
	case taskChat:
		return nativeChat(c, m)
	case taskEmbeddings:
		return nativeEmbeddings(c, m)
	case taskRerank:
		return rerank(c)
	case taskSpeech:
		return speak(c, m)
	}
	return listen(c)
}

// Embed is the vector that the fake gives a text: a hashed bag of its words, of length
// 1. So texts that share words are near, in every process and on every day.
func Embed(text string, dimensions int) []float32 {
	v := make([]float32, dimensions)
	var length float64
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
		h := fnv.New64a()
		_, _ = h.Write([]byte(w)) // never fails
		sum := h.Sum64()
		// Two places a word make it rare that unlike words look alike.
		v[sum%uint64(dimensions)]++
		v[(sum>>32)%uint64(dimensions)]++
	}
	for _, x := range v {
		length += float64(x) * float64(x)
	}
	if length == 0 {
		v[0], length = 1, 1
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(length))
	}
	return v
}

// texts reads one text or a list of at most 100.
func texts(rawText json.RawMessage) ([]string, bool) {
	var one string
	if json.Unmarshal(rawText, &one) == nil {
		return []string{one}, one != ""
	}
	var many []string
	if json.Unmarshal(rawText, &many) != nil {
		return nil, false
	}
	return many, len(many) > 0 && len(many) <= 100 && !slices.Contains(many, "")
}

func openAIEmbeddings(c *call, m model) answer {
	var body struct {
		Input json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil || m.task != taskEmbeddings {
		return openAIFail(http.StatusBadRequest, "5005", m.name+" makes no embeddings")
	}
	list, good := texts(body.Input)
	if !good {
		return openAIFail(http.StatusBadRequest, "5004", "input must be a text or 1 to 100 of them")
	}
	data := []any{}
	tokens := 0
	for n, t := range list {
		data = append(data, map[string]any{"object": "embedding", "index": n, "embedding": Embed(t, m.dimensions)})
		tokens += (len(t) + 3) / 4
	}
	return jsonAnswer(http.StatusOK, map[string]any{"object": "list", "model": m.name, "data": data, "usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens}})
}

func nativeEmbeddings(c *call, m model) answer {
	var body struct {
		Text     json.RawMessage   `json:"text"`
		Query    string            `json:"query"`
		Contexts []rerankedContext `json:"contexts"`
	}
	if err := decode(c.body, &body); err != nil {
		return fail(http.StatusBadRequest, 5004, "the body isn't an input of this model")
	}
	if m.name == "@cf/baai/bge-m3" && len(body.Contexts) > 0 {
		return rerank(c)
	}
	list, good := texts(body.Text)
	if !good {
		return fail(http.StatusBadRequest, 5004, "text must be a text or 1 to 100 of them")
	}
	data := [][]float32{}
	for _, t := range list {
		data = append(data, Embed(t, m.dimensions))
	}
	return ok(map[string]any{"shape": []int{len(data), m.dimensions}, "data": data, "pooling": "cls"})
}

type rerankedContext struct {
	Text string `json:"text"`
}

func rerank(c *call) answer {
	var body struct {
		Query    string            `json:"query"`
		Contexts []rerankedContext `json:"contexts"`
		TopK     int               `json:"top_k"`
	}
	if err := decode(c.body, &body); err != nil || body.Query == "" || len(body.Contexts) == 0 || body.TopK < 0 {
		return fail(http.StatusBadRequest, 5004, "query and contexts are required")
	}
	type line struct {
		ID    int     `json:"id"`
		Score float64 `json:"score"`
	}
	var found []line
	query := Embed(body.Query, 1024)
	for n, x := range body.Contexts {
		found = append(found, line{ID: n, Score: score("cosine", query, Embed(x.Text, 1024))})
	}
	slices.SortStableFunc(found, func(a, b line) int { return cmp.Compare(b.Score, a.Score) })
	if body.TopK > 0 {
		found = found[:min(body.TopK, len(found))]
	}
	return ok(map[string]any{"response": found})
}

// spoken marks the audio of this fake; the text follows, so that listen can hear it.
const spoken = "ID3\x03\x00\x00fake speech: "

func speak(c *call, m model) answer {
	var body struct{ Text, Prompt string }
	if err := decode(c.body, &body); err != nil {
		return fail(http.StatusBadRequest, 5004, "the body isn't an input of this model")
	}
	melo := strings.HasSuffix(m.name, "melotts")
	text := body.Text
	if melo {
		text = body.Prompt
	}
	if strings.TrimSpace(text) == "" {
		return fail(http.StatusBadRequest, 5004, "there is nothing to say")
	}
	// A silent MPEG frame a word: 417 bytes of layer III at 128 kbit/s.
	frame := append([]byte{0xFF, 0xFB, 0x90, 0x00}, make([]byte, 413)...)
	audio := append([]byte(spoken+text+"\x00"), bytes.Repeat(frame, len(strings.Fields(text)))...)
	if melo {
		return ok(map[string]any{"audio": base64.StdEncoding.EncodeToString(audio)})
	}
	return raw("audio/mpeg", audio)
}

func listen(c *call) answer {
	var body struct {
		Audio []byte `json:"audio"`
	}
	if err := decode(c.body, &body); err != nil || len(body.Audio) == 0 {
		return fail(http.StatusBadRequest, 5004, "audio must be base64 and not empty")
	}
	text := ""
	if said, mine := bytes.CutPrefix(body.Audio, []byte(spoken)); mine {
		said, _, _ = bytes.Cut(said, []byte{0})
		text = string(said)
	}
	return ok(map[string]any{"text": text, "word_count": len(strings.Fields(text)), "segments": []any{}, "transcription_info": map[string]any{"language": "en"}})
}
