package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// ports are 22 harbours of ten documents each, enough for vectors, and a question of each.
func ports() *collection {
	c := &collection{name: "ports"}
	for i := range 220 {
		h := i / 10
		c.passages = append(c.passages, fmt.Sprintf("Pier%d of harbour%d has berth number %d. Mooring near crane%d costs %d euros, and a night at buoy%d is free.", h, h, i, h, i+3, h))
	}
	c.passages = append(c.passages, " \n") // an empty one is no document
	for h := range 22 {
		q := query{text: fmt.Sprintf("What does mooring cost\nin harbour%d at pier%d, near crane%d and buoy%d?", h, h, h, h), gains: map[uint32]float64{}}
		for i := range 10 {
			q.gains[uint32(10*h+i)] = 1
		}
		c.queries = append(c.queries, q)
	}
	return c
}

// A whole runtime finds what the library finds, and cites it.
func TestAProductIsDriven(t *testing.T) {
	t.Parallel()
	c := ports()
	strangers := []query{{text: "Who composed the third symphony for strings and brass?"}, {text: "How are quarterly revenues projected?"}}
	r, err := measure(t.Context(), c, strangers, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if err := drive(t.Context(), c, strangers, r, t.Logf); err != nil {
		t.Fatal(err)
	}
	if r.through.text.MRR != 1 || r.through.hybrid.NDCG10 < 0.99 || r.through.vector.NDCG10 < 0.99 {
		t.Errorf("%+v", r.through)
	}
	if r.citations == nil || *r.citations < 0.99 || r.through.cited != 1 || r.unanswered != 1 {
		t.Errorf("citations %v, cited %v, unanswered %v", r.citations, r.through.cited, r.unanswered)
	}
	// A library that finds otherwise is told of.
	r.text.NDCG10 = 0.5
	if err := drive(t.Context(), c, nil, r, t.Logf); err == nil || !strings.Contains(err.Error(), "by text the API's nDCG@10 is 1.0000, and the library's 0.5000") {
		t.Errorf("%v", err)
	}
}

// What a tenant does with its own questions works with a real API.
func TestATenantsOwnQuestions(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), ports()
	p, err := serve(context.Background(), filepath.Join(dir, "runtime"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := p.ingest(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := p.learnt(t.Context(), c.queries[0].text); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Questions []question `json:"questions"`
	}
	for _, q := range c.queries[:2] {
		asked := question{Question: q.text}
		for i := range q.gains {
			asked.Documents = append(asked.Documents, docID(int(i)))
		}
		file.Questions = append(file.Questions, asked)
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	o := options{api: p.url + "/", keyFile: filepath.Join(dir, "key"), questions: filepath.Join(dir, "questions.yaml")}
	for name, data := range map[string]string{o.keyFile: p.key + "\n", o.questions: string(text)} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
