// Package openai asks any server that speaks OpenAI's chat completions: Ollama,
// vLLM, llama.cpp, LiteLLM, OpenAI itself.
//
// Promise: what package ai and chatwire promise. Only the base URL that was
// configured is called, no redirect is followed, and no proxy of the environment is
// used.
package openai
