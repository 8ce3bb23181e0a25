package server

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

// openTools makes the tools. Turns run them, documents need turns, and tools search
// documents: these are asked for when they are needed.
func (s *Server) openTools(recorder *telemetry.Recorder, estimator *ai.Estimator) *tools.Feature {
	return tools.New(tools.Needs{
		Gate:      s.gate,
		Models:    s.upstreams,
		Recorder:  recorder,
		Meter:     s.metrics,
		Estimator: estimator,
		Audit:     s.store.Audit(),
		Usage:     s.store.Usage(),
		Chunker:   pieces,
		Logger:    s.logger,
		Documents: toolDocuments{s},
		Outbound:  outbound.Options{AllowLoopback: s.opts.AllowLoopback},
	})
}

type toolDocuments struct{ s *Server }

func (d toolDocuments) Search(ctx context.Context, c httpapi.Call, query string, topK int) ([]guard.Source, error) {
	return d.s.documents.Search(ctx, c, query, topK)
}

func (d toolDocuments) Ingest(ctx context.Context, c httpapi.Call, docID, title, source, text string, chunkSize int, metadata map[string]any) (int, string, error) {
	return d.s.documents.Ingest(ctx, c, docID, title, source, text, chunkSize, metadata)
}

// pieces cuts a text as it is, so that places in it stay true.
func pieces(text string, most int) ([]tools.Piece, error) {
	none := 0
	chunks, err := chunk.Split([]chunk.Block{{Kind: chunk.Paragraph, Text: text}}, chunk.Options{MaxChars: most, Overlap: &none})
	if err != nil {
		return nil, err
	}
	out := make([]tools.Piece, len(chunks))
	for i, c := range chunks {
		out[i] = tools.Piece{Text: c.Text, Start: c.Start, End: c.End}
	}
	return out, nil
}
