package openaiapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const maxModelChars = 256

type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

type modelList struct {
	Object string  `json:"object"`
	Data   []model `json:"data"`
}

// models answers GET /v1/models: what the tenant may use and is known to exist.
func (f *Feature) models(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	cfg := c.Tenant.Config
	list := modelList{Object: "list", Data: []model{}}
	for _, id := range modelIDs(cfg) {
		list.Data = append(list.Data, modelOf(cfg, id))
	}
	return httpapi.Answer{Raw: list}, nil
}

// model answers GET /v1/models/{id}.
func (f *Feature) model(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	id := c.Path("id")
	if !slices.Contains(modelIDs(c.Tenant.Config), id) {
		return httpapi.Answer{}, &httpapi.Error{
			Status: http.StatusNotFound, Code: "model_not_found", Message: "this tenant has no such model; GET /v1/models lists them",
		}
	}
	return httpapi.Answer{Raw: modelOf(c.Tenant.Config, id)}, nil
}

// modelIDs are the allowed models, or where any is allowed those that the tenant uses.
func modelIDs(cfg *tenantconfig.Config) []string {
	var ids []string
	add := func(more ...string) {
		for _, id := range more {
			if id != "" && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	if len(cfg.Models.Allowed) > 0 {
		add(cfg.Models.Allowed...)
	} else {
		add(cfg.Models.Chat)
		add(cfg.Models.Fallbacks...)
	}
	add(embeddingModel(cfg))
	return ids
}

// modelOf says whose it is. When a model was made isn't known: 0.
func modelOf(cfg *tenantconfig.Config, id string) model {
	owner := cfg.Upstream.Type
	if strings.HasPrefix(id, "builtin/") {
		owner = "builtin"
	}
	return model{ID: id, Object: "model", OwnedBy: owner}
}

// chosen are the models to ask, in order, and whether the request named the first.
func chosen(cfg *tenantconfig.Config, name string) (models []string, named bool, err error) {
	first := cfg.Models.Chat
	if name != "" {
		first = name
	}
	if len(cfg.Models.Allowed) > 0 && !slices.Contains(cfg.Models.Allowed, first) {
		return nil, false, notAllowed(cfg.Models.Allowed)
	}
	return append([]string{first}, cfg.Models.Fallbacks...), name != "", nil
}

func notAllowed(allowed []string) error {
	return &httpapi.Error{
		Status: http.StatusForbidden, Code: "model_not_allowed", Message: "this tenant may not use this model",
		Details: []httpapi.Detail{{Path: "model", Message: "must be one of " + strings.Join(allowed, ", ")}},
	}
}
