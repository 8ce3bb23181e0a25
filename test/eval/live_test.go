package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuestions(t *testing.T) {
	have, err := parseQuestions([]byte("questions:\n- question: When?\n  documents: [hours]\n- question: Who?\n  documents: [a/b, staff]\n"))
	want := []question{{"When?", []string{"hours"}}, {"Who?", []string{"a/b", "staff"}}}
	if diff := cmp.Diff(want, have); err != nil || diff != "" {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
	for name, c := range map[string]struct{ yaml, says string }{
		"nothing":            {"", "no questions"},
		"no list":            {"questions: 7", "reading questions"},
		"no YAML":            {"questions: [", "reading questions"},
		"a misspelt field":   {"questions:\n- question: Who?\n  document: [a]\n", "document"},
		"an empty question":  {"questions:\n- question: ' '\n  documents: [a]\n", "questions[0]: question is empty"},
		"no documents":       {"questions:\n- question: Who?\n", "questions[0]: documents is empty"},
		"an empty document":  {"questions:\n- question: Who?\n  documents: ['']\n", "questions[0]: a docId is empty"},
		"the same twice":     {"questions:\n- question: Who?\n  documents: [a]\n- question: Who?\n  documents: [b]\n", "questions[1]: the same as questions[0]"},
		"too long":           {"questions:\n- question: " + strings.Repeat("é", 10_001) + "\n  documents: [a]\n", "more than 10000 characters"},
		"every entry's own":  {"questions:\n- question: ''\n  documents: [a]\n- question: Who?\n", "questions[1]"},
		"a key twice":        {"questions: []\nquestions: []\n", "reading questions"},
		"a field beside":     {"answers: []\nquestions: []\n", "reading questions"},
		"more than there be": {"questions:\n" + strings.Repeat("- {question: a, documents: [b]}\n", 10_001), "at most 10000"},
	} {
		if _, err := parseQuestions([]byte(c.yaml)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
	}
}

// The API is measured over real HTTP; what it answers is known, and so is the measure.
func TestALiveAPI(t *testing.T) {
	const key = "ce_c4nary"
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Query, Mode string
			TopK        int
			Answer      bool
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/search" || r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"ok":false,"error":{"code":"unauthorized","message":"no"}}`))
			return
		}
		if asked.Add(1) == 2 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		answers := map[string]string{
			"text":   `{"data":{"sources":[{"docId":"x"},{"docId":"x"},{"docId":"hours"}]}}`,
			"vector": `{"data":{"sources":[]}}`,
			"hybrid": `{"data":{"sources":[{"docId":"hours"},{"docId":"x"}]}}`,
			"":       `{"data":{"answer":"At two [1], or nine [2][1], or ten [7].","sources":[{"docId":"hours"},{"docId":"x"}]}}`,
		}
		_, _ = w.Write([]byte(answers[q.Mode]))
	}))
	defer server.Close()
	a := &api{url: server.URL, key: key, client: server.Client()}
	r, err := a.measure(t.Context(), judgedBy([]question{{"When does it close?", []string{"hours"}}}), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if r.text.MRR != 0.5 || r.vector.MRR != 0 || r.hybrid.MRR != 1 || r.hybrid.NDCG10 != 1 {
		t.Errorf("MRR by text %v, vector %v, hybrid %v; want 0.5, 0, 1", r.text.MRR, r.vector.MRR, r.hybrid.MRR)
	}
	if r.citations == nil || *r.citations != 0.5 {
		t.Errorf("citation precision %v, want 2 of 4", r.citations)
	}
	a.key = "wrong"
	if _, err := a.measure(t.Context(), judgedBy([]question{{"When?", []string{"hours"}}}), t.Logf); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestLiveOptions(t *testing.T) {
	for name, o := range map[string]options{
		"no key":       {api: "http://localhost", questions: "q.yaml"},
		"no questions": {api: "http://localhost", keyFile: "k"},
		"no API":       {keyFile: "k", questions: "q.yaml"},
		"no URL":       {api: "localhost:8080", keyFile: "k", questions: "q.yaml"},
		"no such file": {api: "http://localhost", keyFile: "testdata/none", questions: "q.yaml"},
	} {
		if err := o.run(t.Context()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
