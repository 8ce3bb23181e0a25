package fakecloudflare

import (
	"net/http"
	"slices"
	"strings"
)

// model is one that can be run.
type model struct {
	name, task string
	dimensions int
	// modern: on /ai/run it answers an OpenAI object in result; whole: and one document
	// even to stream:true.
	modern, whole bool
	// removed: it was, and isn't any more.
	removed bool
}

const (
	taskChat       = "Text Generation"
	taskEmbeddings = "Text Embeddings"
	taskRerank     = "Text Classification"
	taskSpeech     = "Text-to-Speech"
	taskListen     = "Automatic Speech Recognition"
)

var models = []model{
	{name: "@cf/meta/llama-3.1-8b-instruct", task: taskChat, removed: true},
	{name: "@cf/meta/llama-3.1-8b-instruct-fast", task: taskChat},
	{name: "@cf/meta/llama-3.1-8b-instruct-fp8", task: taskChat},
	{name: "@cf/meta/llama-3.2-1b-instruct", task: taskChat},
	{name: "@cf/meta/llama-3.2-3b-instruct", task: taskChat},
	{name: "@cf/meta/llama-3.3-70b-instruct-fp8-fast", task: taskChat},
	{name: "@cf/meta/llama-4-scout-17b-16e-instruct", task: taskChat},
	{name: "@cf/meta/llama-guard-3-8b", task: taskChat},
	{name: "@cf/mistralai/mistral-small-3.1-24b-instruct", task: taskChat},
	{name: "@cf/google/gemma-4-26b-a4b-it", task: taskChat, modern: true},
	{name: "@cf/zai-org/glm-4.7-flash", task: taskChat, modern: true},
	{name: "@cf/openai/gpt-oss-120b", task: taskChat, modern: true, whole: true},
	{name: "@cf/openai/gpt-oss-20b", task: taskChat, modern: true, whole: true},
	{name: "@cf/moonshotai/kimi-k2.6", task: taskChat, modern: true, whole: true},
	{name: "@cf/baai/bge-m3", task: taskEmbeddings, dimensions: 1024},
	{name: "@cf/baai/bge-small-en-v1.5", task: taskEmbeddings, dimensions: 384},
	{name: "@cf/baai/bge-base-en-v1.5", task: taskEmbeddings, dimensions: 768},
	{name: "@cf/baai/bge-large-en-v1.5", task: taskEmbeddings, dimensions: 1024},
	{name: "@cf/qwen/qwen3-embedding-0.6b", task: taskEmbeddings, dimensions: 1024},
	{name: "@cf/google/embeddinggemma-300m", task: taskEmbeddings, dimensions: 768},
	{name: "@cf/baai/bge-reranker-base", task: taskRerank},
	{name: "@cf/deepgram/aura-1", task: taskSpeech},
	{name: "@cf/deepgram/aura-2-en", task: taskSpeech},
	{name: "@cf/myshell-ai/melotts", task: taskSpeech},
	{name: "@cf/openai/whisper-large-v3-turbo", task: taskListen},
}

// findModel gives the model, or how the native door refuses it.
func findModel(name string) (model, answer, bool) {
	n := slices.IndexFunc(models, func(m model) bool { return m.name == name })
	switch {
	case n < 0:
		return model{}, fail(http.StatusBadRequest, 5007, "No such model %s or task", name), false
	case models[n].removed:
		return model{}, fail(http.StatusNotFound, 3042, "Model %s was removed", name), false
	}
	return models[n], answer{}, true
}

func searchModels(c *call) answer {
	q := c.r.URL.Query()
	found := []map[string]any{}
	for _, m := range models {
		if m.removed || !strings.Contains(m.name, q.Get("search")) || q.Get("task") != "" && !strings.EqualFold(q.Get("task"), m.task) {
			continue
		}
		found = append(found, map[string]any{"id": m.name, "name": m.name, "task": map[string]any{"name": m.task}, "properties": []any{}, "tags": []any{}})
	}
	return paged(c, found, 100, 1000)
}
