package tools

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	bullets = "bullet_points"
	// partsAtOnce is how many parts of a long text are summed up at a time.
	partsAtOnce = 4
	// maxRounds bounds summing up of summaries; each shortens to a quarter at most.
	maxRounds = 4
)

// summary is what summarize returns.
type summary struct {
	Summary string `json:"summary"`
	Format  string `json:"format"`
	// Lengths in characters.
	OriginalLength int `json:"originalLength"`
	SummaryLength  int `json:"summaryLength"`
	// Method is "model", or "extractive" for sentences of the text itself.
	Method string `json:"method"`
}

type summaryAsk struct {
	text, format string
	most         int
}

func summaryOf(params map[string]any) summaryAsk {
	a := summaryAsk{text: textOf(params, "text"), format: textOf(params, "format"), most: wholeOf(params, "max_length", 500)}
	if a.format == "" {
		a.format = "paragraph"
	}
	return a
}

// maxOut is the tokens of a summary, with room for scripts of a token a character.
func (a summaryAsk) maxOut(cfg *tenantconfig.Config) int { return mayGenerate(cfg, a.most/2+100) }

func (a summaryAsk) messages(text string) []ai.Message {
	form := "one paragraph of plain prose"
	if a.format == bullets {
		form = "a list of points, one a line, each beginning with \"- \""
	}
	return instruct(fmt.Sprintf("Sum up the text that you are given, in its own language, as %s, in at most %d characters. "+
		"Say only what stands in the text. Answer with the summary alone.", form, a.most), text)
}

// parts cuts the text to what fits into the model's window.
func (a summaryAsk) parts(cfg *tenantconfig.Config, text string) []string {
	return cutText(text, fits(cfg, a.maxOut(cfg)))
}

func firstSummary(t *tenancy.Tenant, params map[string]any) ([]ai.Message, int) {
	if t.Config.Upstream.Type == tenantconfig.UpstreamEmbedded {
		return nil, 0
	}
	a := summaryOf(params)
	return a.messages(a.parts(t.Config, a.text)[0]), a.maxOut(t.Config)
}

// summarize is the tool. A text longer than the model's window is summed up in parts, and
// the summaries again.
func summarize(ctx context.Context, j *job, params map[string]any) (any, error) {
	a, cfg := summaryOf(params), j.c.Tenant.Config
	out := summary{Format: a.format, OriginalLength: utf8.RuneCountInString(a.text), Method: "model"}
	if cfg.Upstream.Type == tenantconfig.UpstreamEmbedded {
		out.Method = "extractive"
		out.Summary = extract(a.text, a.most, a.format == bullets)
	} else {
		text, err := a.reduce(ctx, j)
		if err != nil {
			return nil, err
		}
		out.Summary = a.shape(text)
	}
	if out.Summary == "" {
		return nil, failed(nil, "no summary came of this text: send one with sentences in it")
	}
	out.SummaryLength = utf8.RuneCountInString(out.Summary)
	return out, nil
}

func (a summaryAsk) reduce(ctx context.Context, j *job) (string, error) {
	cfg := j.c.Tenant.Config
	text := a.text
	for range maxRounds {
		parts := a.parts(cfg, text)
		if len(parts) == 1 {
			return j.generate(ctx, a.messages(text), a.maxOut(cfg), false)
		}
		sums, err := a.each(ctx, j, parts)
		if err != nil {
			return "", err
		}
		text = strings.Join(sums, "\n\n")
	}
	return j.generate(ctx, a.messages(a.parts(cfg, text)[0]), a.maxOut(cfg), false)
}

// each sums up every part. The first failure ends the others.
func (a summaryAsk) each(ctx context.Context, j *job, parts []string) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sums := make([]string, len(parts))
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, partsAtOnce)
		once  sync.Once
		first error
	)
	for i, part := range parts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			var err error
			func() {
				defer recovered(&err)
				sums[i], err = j.generate(ctx, a.messages(part), a.maxOut(j.c.Tenant.Config), false)
			}()
			if err != nil {
				once.Do(func() { first = err })
				cancel(err)
			}
		})
	}
	wg.Wait()
	return sums, first
}

// shape holds what the model wrote to what was asked.
func (a summaryAsk) shape(text string) string {
	if a.format != bullets {
		return cutAtSentence(text, a.most)
	}
	var b strings.Builder
	left := a.most
	for line := range strings.Lines(text) {
		point := strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "-*•· "))
		if point == "" {
			continue
		}
		point = "- " + point
		if b.Len() > 0 {
			point = "\n" + point
		}
		n := utf8.RuneCountInString(point)
		if n > left {
			if b.Len() == 0 {
				b.WriteString(cutAtSentence(point, a.most))
			}
			break
		}
		left -= n
		b.WriteString(point)
	}
	return b.String()
}
