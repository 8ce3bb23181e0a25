package openaiapi

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

// maxInputs is OpenAI's bound of texts in one request.
const maxInputs = 2048

// embeddingsRequest is the body of POST /v1/embeddings.
type embeddingsRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	Dimensions     *int            `json:"dimensions"`
	User           string          `json:"user"`
}

// Validate checks what needs no tenant.
func (r *embeddingsRequest) Validate() []httpapi.Detail {
	var w wrongs
	texts, ok := stringOrStrings(r.Input)
	switch {
	case !ok:
		w.add(true, "input", "must be a string or an array of strings; tokens aren't taken")
	case len(texts) == 0 || len(texts) > maxInputs:
		w.add(true, "input", "must hold 1 to "+strconv.Itoa(maxInputs)+" texts")
	default:
		w.add(slices.Contains(texts, ""), "input", "must not hold an empty text")
	}
	w.add(len(r.Model) > maxModelChars, "model", "is too long")
	w.add(!slices.Contains([]string{"", "float", "base64"}, r.EncodingFormat), "encoding_format", "must be float or base64")
	w.add(r.Dimensions != nil && *r.Dimensions < 1, "dimensions", "must be 1 or more")
	return w
}

type embeddingList struct {
	Object string      `json:"object"`
	Data   []embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  struct {
		PromptTokens int `json:"prompt_tokens"`
		TotalTokens  int `json:"total_tokens"`
	} `json:"usage"`
}

type embedding struct {
	Object string `json:"object"`
	Index  int    `json:"index"`
	// Embedding is []float32, or their bytes in base64.
	Embedding any `json:"embedding"`
}

// embeddings answers POST /v1/embeddings.
func (f *Feature) embeddings(ctx context.Context, c httpapi.Call, r embeddingsRequest) (httpapi.Answer, error) {
	model, embedder, err := f.embedder(c, r.Model)
	if err != nil {
		return httpapi.Answer{}, err
	}
	if c, err = asUser(c, r.User); err != nil {
		return httpapi.Answer{}, err
	}
	// A model whose vectors have another length is found out only by asking it.
	own := c.Tenant.Config.Documents.Embedding
	if have := own.Dimensions; r.Dimensions != nil && model == own.Model && have > 0 && have != *r.Dimensions {
		return httpapi.Answer{}, otherDimensions(have)
	}
	texts, _ := stringOrStrings(r.Input) // Validate has read it
	made, err := f.embed(ctx, c, embedder, ai.EmbedRequest{Model: model, Texts: texts, TraceID: c.TraceID})
	if err != nil {
		return httpapi.Answer{}, notFound(err, r.Model != "")
	}
	if have := len(made.Vectors[0]); r.Dimensions != nil && have != *r.Dimensions {
		return httpapi.Answer{}, otherDimensions(have)
	}
	list := embeddingList{Object: "list", Model: model, Data: make([]embedding, len(made.Vectors))}
	for i, v := range made.Vectors {
		list.Data[i] = embedding{Object: "embedding", Index: i, Embedding: v}
		if r.EncodingFormat == "base64" {
			list.Data[i].Embedding = littleEndian(v)
		}
	}
	list.Usage.PromptTokens, list.Usage.TotalTokens = made.Usage.In, made.Usage.In
	return httpapi.Answer{Raw: list}, nil
}

func otherDimensions(have int) error {
	return httpapi.Invalid("dimensions", "must be "+strconv.Itoa(have)+" for this model, or be left out")
}

// embed makes the vectors within the budget, and settles it.
func (f *Feature) embed(ctx context.Context, c httpapi.Call, e ai.Embedder, req ai.EmbedRequest) (made ai.Embeddings, err error) {
	estimate := 0
	admission, err := f.Gate.Admit(ctx, c, limits.Ask{Models: []string{req.Model}, Prompt: func(context.Context) (int, error) {
		for _, text := range req.Texts {
			estimate += f.Estimator.Text(req.Model, text)
		}
		return estimate, nil
	}})
	if err != nil {
		return made, err
	}
	asked, call := f.Now(), telemetry.Call{Model: req.Model, Feature: featureEmbeddings, Outcome: telemetry.OutcomeError}
	// Also after a panic: what was set aside must not stay spent.
	defer func() {
		after, done := afterwards(ctx)
		defer done()
		call.In, call.Latency = made.Usage.In, f.Now().Sub(asked)
		call.MicroUSD = admission.Settle(after, req.Model, made.Usage)
		f.Recorder.Record(after, c.Tenant.ID, call)
	}()
	if made, err = e.Embed(ctx, c.Tenant.ID, req); err != nil {
		if ctx.Err() != nil {
			// The provider had read them by then.
			call.Outcome, made.Usage = telemetry.OutcomeCanceled, ai.Usage{In: estimate, Estimated: true}
		}
		return made, err
	}
	if err = ai.CheckVectors(req, made.Vectors); err != nil {
		return made, &ai.Error{Kind: ai.KindMalformed, Err: err}
	}
	call.Outcome = telemetry.OutcomeOK
	if made.Usage.In == 0 {
		made.Usage = ai.Usage{In: estimate, Estimated: true}
	}
	return made, nil
}

// embedder is what makes vectors of the model that the request names, or the tenant's.
func (f *Feature) embedder(c httpapi.Call, name string) (string, ai.Embedder, error) {
	cfg := c.Tenant.Config
	own := embeddingModel(cfg)
	var e ai.Embedder
	if f.Embedders != nil {
		e = f.Embedders.Embedder(c.Tenant)
	}
	switch {
	case e == nil:
		return "", nil, &httpapi.Error{
			Status: http.StatusForbidden, Code: "embeddings_not_enabled", Message: "this tenant's upstream makes no embeddings",
		}
	case name == "" && own == "":
		return "", nil, httpapi.Invalid("model", "must name an embedding model: this tenant has none of its own")
	case name == "":
		return own, e, nil
	case name == tenantconfig.EmbeddingLSA:
		return "", nil, httpapi.Invalid("model", "must be a model of the upstream: vectors of "+name+" change with the documents")
	case name != own && len(cfg.Models.Allowed) > 0 && !slices.Contains(cfg.Models.Allowed, name):
		return "", nil, notAllowed(modelIDs(cfg))
	}
	return name, e, nil
}

// embeddingModel is the tenant's own at its upstream, if it has one.
func embeddingModel(cfg *tenantconfig.Config) string {
	if m := cfg.Documents.Embedding.Model; m != tenantconfig.EmbeddingLSA {
		return m
	}
	return ""
}

// littleEndian are the bytes of v as OpenAI sends them.
func littleEndian(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// notFound makes a model that the provider lacks the caller's mistake, if the caller
// named it.
func notFound(err error, named bool) error {
	if e, ok := errors.AsType[*ai.Error](err); ok && named && e.Kind == ai.KindModelNotFound {
		return &httpapi.Error{
			Status: http.StatusNotFound, Code: "model_not_found",
			Message: "the provider has no model of this name; GET /v1/models lists the tenant's", Cause: err,
		}
	}
	return err
}
