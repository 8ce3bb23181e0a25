package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

const (
	maxQuestions     = 10_000
	maxQuestionChars = 10_000
)

// question of a tenant, and the ids of the documents that answer it.
type question struct {
	Question  string   `json:"question"`
	Documents []string `json:"documents"`
}

// parseQuestions reads the YAML of a tenant's questions. The error names every entry
// that is wrong.
func parseQuestions(data []byte) ([]question, error) {
	var file struct {
		Questions []question `json:"questions"`
	}
	if err := yaml.UnmarshalStrict(data, &file); err != nil {
		return nil, fmt.Errorf("reading questions: %w", err)
	}
	switch n := len(file.Questions); {
	case n == 0:
		return nil, errors.New("no questions: want\nquestions:\n- question: How do I …?\n  documents: [the-docId]")
	case n > maxQuestions:
		return nil, fmt.Errorf("%d questions: at most %d", n, maxQuestions)
	}
	var wrong []error
	seen := map[string]int{}
	for i, q := range file.Questions {
		text := strings.TrimSpace(q.Question)
		refuse := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("questions[%d]: "+format, append([]any{i}, args...)...))
		}
		if first, again := seen[text]; again {
			refuse("the same as questions[%d]", first)
		}
		seen[text] = i
		switch {
		case text == "":
			refuse("question is empty")
		case utf8.RuneCountInString(text) > maxQuestionChars:
			refuse("question has more than %d characters", maxQuestionChars)
		}
		if len(q.Documents) == 0 {
			refuse("documents is empty: name the docId of each document that answers it")
		}
		if slices.ContainsFunc(q.Documents, func(d string) bool { return strings.TrimSpace(d) == "" }) {
			refuse("a docId is empty")
		}
	}
	return file.Questions, errors.Join(wrong...)
}
