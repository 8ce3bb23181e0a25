package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klippa-app/go-pdfium"
	pdferrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// wasmPage is a page of WebAssembly's memory.
const wasmPage = 64 << 10

// pdf reads a PDF. It is for a child process: the engine keeps its memory.
func pdf(data []byte, l Limits, begun func()) (d Document, err error) {
	engine, err := openEngine(l)
	if err != nil {
		return Document{}, err
	}
	begun()
	opened, err := engine.OpenDocument(&requests.OpenDocument{File: &data})
	if err != nil {
		return Document{}, pdfError(err)
	}
	count, err := engine.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
	switch {
	case err != nil:
		return Document{}, pdfError(err)
	case count.PageCount > l.MaxPages:
		return Document{}, ErrTooLarge.because("it has %d pages, and %d may be read", count.PageCount, l.MaxPages)
	case count.PageCount == 0:
		return Document{}, ErrBroken
	}
	if title, err := engine.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: opened.Document, Tag: "Title"}); err == nil {
		d.Title = title.Value
	}
	pages, err := readPages(engine, opened.Document, count.PageCount, l.MaxText)
	if err != nil {
		return Document{}, err
	}
	d.Blocks = layOut(pages)
	return d, nil
}

// openEngine starts PDFium as WebAssembly, with no file, no network and a bounded memory.
func openEngine(l Limits) (pdfium.Pdfium, error) {
	config := wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
		WithMemoryLimitPages(uint32(min(l.Memory/2/wasmPage, 1<<16)))
	if l.CacheDir != "" {
		// Without the cache it only takes longer.
		if cache, err := wazero.NewCompilationCacheWithDir(l.CacheDir); err == nil {
			config = config.WithCompilationCache(cache)
		}
	}
	pool, err := webassembly.Init(webassembly.Config{
		Context: context.Background(), MaxIdle: 1, MaxTotal: 1, RuntimeConfig: config,
		FSConfig: wazero.NewFSConfig(), Stdout: io.Discard, Stderr: io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the PDF engine: %w", err)
	}
	engine, err := pool.GetInstance(time.Minute)
	if err != nil {
		return nil, fmt.Errorf("starting the PDF engine: %w", err)
	}
	return engine, nil
}

func pdfError(err error) error {
	if errors.Is(err, pdferrors.ErrPassword) || errors.Is(err, pdferrors.ErrSecurity) {
		return ErrEncrypted
	}
	return ErrBroken
}

// pdfPage is one page's lines as the engine put them together, and their type's size by
// the first words of a line.
type pdfPage struct {
	text  string
	sizes []pdfRun
}

// pdfRun is text of one size.
type pdfRun struct {
	text string
	size float64
}

func readPages(engine pdfium.Pdfium, doc references.FPDF_DOCUMENT, count int, maxText int64) ([]pdfPage, error) {
	var pages []pdfPage
	var total int64
	broken := 0
	for i := range count {
		at := requests.Page{ByIndex: &requests.PageByIndex{Document: doc, Index: i}}
		text, err := engine.GetPageText(&requests.GetPageText{Page: at})
		if err != nil {
			// One damaged page doesn't spoil the others.
			broken++
			pages = append(pages, pdfPage{})
			continue
		}
		p := pdfPage{text: text.Text}
		if total += int64(len(p.text)); total > maxText {
			return nil, ErrTooLarge.because("it has more than %d bytes of text", maxText)
		}
		runs, err := engine.GetPageTextStructured(&requests.GetPageTextStructured{
			Page: at, Mode: requests.GetPageTextStructuredModeRects, CollectFontInformation: true,
		})
		if err == nil {
			for _, r := range runs.Rects {
				if r.FontInformation != nil {
					p.sizes = append(p.sizes, pdfRun{r.Text, r.FontInformation.RenderedSize})
				}
			}
		}
		pages = append(pages, p)
	}
	if broken == count {
		return nil, ErrBroken
	}
	return pages, nil
}
