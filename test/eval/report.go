package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/lsa"
)

const intro = `# Evaluation of retrieval

Measured by ` + "`make eval`" + ` on %s: %s.

Everything is the runtime's own code: the text index (BM25+ over English stems), vectors of %d dimensions learnt from
the set's own passages, scanned as bytes, and the fusion by score: words in relation to the best passage's, times the
share of the question that this one holds, and the vectors' cosine, times the share that the passages know, which weighs
%g. Rows "through the API" were asked of a whole runtime, that had been sent the documents one by one and restarted; it
gives 50 passages at most, and its answers are sentences of passages. No model's weights are used. Measures are means over
the questions, 0 to 1; of each ranking the first 100 count.

`

const reading = `
- **Cranfield** grades answers from 1, complete, to 4, of minimum interest; the gain is 5 less the grade. Judgements of
  -1 (one a question) count as not relevant. Its questions are whole sentences of specialists: half of their words are by the way.
- **Debian**'s questions are the one-line announcements of packages, and the right passage is that package's long
  description; where several packages are announced with the same line, each of theirs is right. Questions were drawn
  by a fixed seed. The descriptions are those of the machine's own release. Words matter more than topics in it, and
  learnt vectors alone are poor: it is here because a fusion must not harm such a set.
- The constants of the text score (k1, b, and what a passage gets for having a word at all) and the fusion's weight
  were chosen on these two sets, so the figures flatter the choice a little.
- The weight that gains most over text while no set loses more than %.0f %% is **%g**; the runtime's default is %g.
- injections_through is how many orders, planted in documents and results of tools, were carried out before a model that
  obeys all that it reads (` + "`test/injection`" + `); n/a is what this run doesn't measure.
`

const strangersText = `Each set's documents are asked the other set's questions too. What the score of the best passage tells then, by words
alone (a tenant with fewer than some two hundred passages has no more) and by words and learnt vectors: how likely an own
question scores better than another's, and what of both a least score keeps out. Where a tenant sets no
` + "`documents.minScore`" + ` the runtime finds nothing if no passage has 0.25, or a cosine of 0.35: that asks little of a question that is answered, since the model
that answers has the last word. Vectors of an embedding model have another scale, and a tenant that has one should
look at its own scores.
`

const ownQuestions = `
## A tenant's own questions

What holds for two public sets need not hold for a tenant's documents. ` + "`questions.yaml`" + ` names, for each question, the
documents that answer it:

` + "```yaml" + `
questions:
- question: When does the office in Vienna close on Fridays?
  documents: [opening-hours]
` + "```" + `

    go run ./test/eval -api https://acme.example.com -key-file key -questions questions.yaml

asks the live API each question by text, vector and hybrid, and once for an answer, and tells the same measures, and
which share of the answer's citations are of a right document. The API gives 50 passages at most, so recall@100 is that
of the documents of 50 passages. Rate limits are waited for; each question costs four searches and one answer.
`

// write makes docs/evaluation.md and its plot.
func write(dir string, results []*result) error {
	var b strings.Builder
	fmt.Fprintf(&b, intro, time.Now().UTC().Format(time.DateOnly), machine(), lsa.Rank, index.DefaultWeight)
	b.WriteString(table(results))
	b.WriteString("\n![nDCG@10 by the weight of vectors](evaluation.svg)\n\n")
	b.WriteString(sweepTable(results))
	fmt.Fprintf(&b, reading, 100*tolerated, choose(results), index.DefaultWeight)
	if s := strangersTable(results); s != "" {
		b.WriteString("\n" + s)
	}
	b.WriteString(ownQuestions)
	b.WriteString("\n## Last lines\n\n```\n")
	conclude(&b, results, nil)
	b.WriteString("```\n")
	if err := os.WriteFile(filepath.Join(dir, "evaluation.md"), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "evaluation.svg"), []byte(plot(results)), 0o600); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return nil
}

// table of all measures.
func table(results []*result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "**%s**: %s.\n\n| found by | nDCG@10 | MRR | recall@10 | recall@100 |\n|---|---|---|---|---|\n", r.name, r.about)
		rows := []struct {
			name string
			quality
		}{{"text", r.text}, {"vector", r.vector}, {"hybrid", r.hybrid}}
		if r.sweep != nil {
			rows = append(rows, struct {
				name string
				quality
			}{"reciprocal ranks, for comparison", r.ranks})
		}
		if t := r.through; t != nil {
			for _, over := range []struct {
				mode string
				quality
			}{{"text", t.text}, {"vector", t.vector}, {"hybrid", t.hybrid}} {
				rows = append(rows, struct {
					name string
					quality
				}{over.mode + ", through the API", over.quality})
			}
		}
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s | %.4f | %.3f | %.3f | %.3f |\n", row.name, row.NDCG10, row.MRR, row.Recall10, row.Recall100)
		}
		r.answers(&b)
		for _, n := range r.notes {
			fmt.Fprintf(&b, "\n%s.\n", n)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// answers tells what the answers of a driven product are like.
func (r *result) answers(b *strings.Builder) {
	t := r.through
	if t == nil {
		return
	}
	fmt.Fprintf(b, "\nAnswers through the API: %.1f %% have a citation; %s.", 100*t.cited, strings.Join(t.notes, "; "))
	if r.byBoth != nil {
		fmt.Fprintf(b, " Of the other set's questions %.1f %% are told that the documents don't answer.", 100*r.unanswered)
	}
	b.WriteString("\n")
}

// strangersTable tells own questions from another set's by the score of the best passage.
func strangersTable(results []*result) string {
	var b strings.Builder
	b.WriteString("| own kept, others' refused (%), by least score | area under the curve |")
	for _, l := range leasts {
		fmt.Fprintf(&b, " %g |", l)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(leasts)) + "\n")
	rows := 0
	for _, r := range results {
		for _, by := range []struct {
			name string
			*separation
		}{{"words", r.byWords}, {"both", r.byBoth}} {
			if by.separation == nil {
				continue
			}
			rows++
			fmt.Fprintf(&b, "| %s, %s | %.4f |", r.name, by.name, by.area)
			for i := range leasts {
				fmt.Fprintf(&b, " %.1f, %.1f |", 100*by.kept[i], 100*by.refused[i])
			}
			b.WriteString("\n")
		}
	}
	if rows == 0 {
		return ""
	}
	return "## Questions that the documents don't answer\n\n" + strangersText + "\n" + b.String()
}

// sweepTable tells nDCG@10 by the weight of vectors.
func sweepTable(results []*result) string {
	var b strings.Builder
	b.WriteString("| nDCG@10 by weight |")
	for _, w := range weights {
		fmt.Fprintf(&b, " %g |", w)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(weights)) + "\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s |", r.name)
		for _, q := range r.sweep {
			fmt.Fprintf(&b, " %.3f |", q.NDCG10)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// conclude writes the last lines, one a data set.
func conclude(w io.Writer, results []*result, skipped []string) {
	for _, r := range results {
		cited, through := "n/a", "n/a"
		if r.citations != nil {
			cited = fmt.Sprintf("%.3f", *r.citations)
		}
		if r.injections != nil {
			through = strconv.Itoa(*r.injections)
		}
		_, _ = fmt.Fprintf(w, "dataset=%s text=%.4f vector=%.4f hybrid=%.4f citations=%s injections_through=%s\n",
			r.name, r.text.NDCG10, r.vector.NDCG10, r.hybrid.NDCG10, cited, through)
	}
	for _, s := range skipped {
		_, _ = fmt.Fprintf(w, "dataset=%s skipped: not to be had on this machine\n", s)
	}
}

func machine() string {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), model, runtime.Version())
}
