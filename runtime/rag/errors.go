package rag

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// answers are what a caller is told of failures that are no accident. Messages are fixed:
// none holds what a file, a host or an upstream said.
var answers = []struct {
	failure error
	answer  httpapi.Error
}{
	{storage.ErrOldVersion, httpapi.Error{
		Status: http.StatusConflict, Code: "superseded",
		Message: "a newer version of this document was ingested, or it was removed meanwhile; nothing was changed",
	}},
	{storage.ErrTooManyJobs, httpapi.Error{
		Status: http.StatusTooManyRequests, Code: "too_many_jobs", RetryAfter: 10 * time.Second,
		Message: "too many documents wait to be taken in; wait until some are done",
	}},
	{index.ErrNotReady, httpapi.Error{
		Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: 2 * time.Second,
		Message: "the documents are still being read after a start; try again shortly",
	}},
	{index.ErrNoVectors, httpapi.Error{
		Status: http.StatusConflict, Code: "vectors_not_ready",
		Message: "there are no vectors to search by yet; use mode text or hybrid, or ingest more documents",
	}},
	{extract.ErrUnavailable, httpapi.Error{
		Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: 10 * time.Second,
		Message: "files of this type can't be read at the moment; try again shortly, or send the document's text",
	}},
	{outbound.ErrBadURL, *httpapi.Invalid("url", "must be an http or https address without a login")},
	{outbound.ErrHostNotAllowed, httpapi.Error{
		Status: http.StatusForbidden, Code: "url_not_allowed",
		Message: "documents may not be fetched from this host; add it to the tenant's documents.fetchHosts",
	}},
	{outbound.ErrAddressBlocked, httpapi.Error{
		Status: http.StatusForbidden, Code: "url_not_allowed", Message: "this host's address may not be reached from here",
	}},
	{outbound.ErrTooLarge, httpapi.Error{
		Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
		Message: "the document at this address is larger than the tenant's limit",
	}},
	{errFetch, httpapi.Error{
		Status: http.StatusUnprocessableEntity, Code: "fetch_failed",
		Message: "the document couldn't be fetched from its address; check it, or send the document itself",
	}},
}

// told gives the answer that a failure is, or the failure itself where it is no answer
// of this feature's.
func told(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*httpapi.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*extract.Error](err); ok {
		return &httpapi.Error{Status: fileStatus(e), Code: e.Code, Message: e.Message, Cause: err}
	}
	if e, ok := errors.AsType[*storage.BusyError](err); ok {
		return &httpapi.Error{
			Status: http.StatusTooManyRequests, Code: "documents_busy", Cause: err, RetryAfter: max(e.After, time.Second),
			Message: "the store of vectors takes no more calls at the moment; wait and try again",
		}
	}
	for _, a := range answers {
		if errors.Is(err, a.failure) {
			answer := a.answer
			answer.Cause = err
			return &answer
		}
	}
	switch {
	case errors.Is(err, storage.ErrBadDocument):
		return httpapi.Invalid("metadata", "the document can't be kept as it is described: "+reason(err, storage.ErrBadDocument))
	case errors.Is(err, storage.ErrBadFilter):
		return httpapi.Invalid("filter", reason(err, storage.ErrBadFilter))
	}
	return err
}

// fileStatus is the status of a file that can't be read.
func fileStatus(e *extract.Error) int {
	switch {
	case errors.Is(e, extract.ErrTooLarge), errors.Is(e, extract.ErrBomb):
		return http.StatusRequestEntityTooLarge
	case errors.Is(e, extract.ErrUnsupported):
		return http.StatusUnsupportedMediaType
	}
	return http.StatusUnprocessableEntity
}

// reason is what was added to a sentinel, which tells of the caller's own words alone.
func reason(err, sentinel error) string {
	_, why, ok := strings.Cut(err.Error(), sentinel.Error()+": ")
	if !ok {
		return sentinel.Error()
	}
	return why
}

// embeddingFailed is the fixed answer to a failure of the model that makes vectors.
func embeddingFailed(err error) error {
	e, ok := errors.AsType[*ai.Error](err)
	if !ok || e.Kind == ai.KindCanceled {
		return err
	}
	return &httpapi.Error{
		Status: http.StatusBadGateway, Code: "ai_error", RetryAfter: e.RetryAfter, Cause: err,
		Message: "the embedding model failed; try again later",
	}
}

// lasting tells that trying again would fail again.
func lasting(err error) bool {
	if e, ok := errors.AsType[*ai.Error](err); ok {
		switch e.Kind {
		case ai.KindUnavailable, ai.KindRateLimited, ai.KindTimeout, ai.KindTruncated, ai.KindMalformed, ai.KindCanceled:
			return false
		}
		return true
	}
	answer, ok := errors.AsType[*httpapi.Error](told(err))
	return errors.Is(err, errPayload) || errors.Is(err, errCrashed) || ok && answer.Status < 500 && answer.Code != "documents_busy"
}
