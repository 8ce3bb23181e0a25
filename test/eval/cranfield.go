package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// readCranfield reads the SMART files of the Cranfield collection.
func readCranfield(dir string) (*collection, error) {
	texts, err := readSMART(filepath.Join(dir, "cran.all.1400"))
	if err != nil {
		return nil, err
	}
	questions, err := readSMART(filepath.Join(dir, "cran.qry"))
	if err != nil {
		return nil, err
	}
	c := &collection{name: "cranfield", passages: texts,
		about: "1,400 abstracts on aerodynamics, 225 questions, 1,837 graded judgements (in `test/eval/testdata`)"}
	for _, q := range questions {
		c.queries = append(c.queries, query{text: q, gains: map[uint32]float64{}})
	}
	return c, c.judgements(filepath.Join(dir, "cranqrel"))
}

// judgements reads lines of question, document and grade, both counted from 1 by order.
// Grades go from 1, a complete answer, to 4, of minimum interest, and the gain is 5 less
// the grade. What -1 means the collection's descriptions disagree on; it isn't relevant
// here.
func (c *collection) judgements(file string) error {
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return fmt.Errorf("reading judgements: %w", err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var n [3]int
		fields := strings.Fields(line)
		if len(fields) != len(n) {
			return fmt.Errorf("%s:%d: want question, document, grade; have %q", file, i+1, line)
		}
		for j, f := range fields {
			if n[j], err = strconv.Atoi(f); err != nil {
				return fmt.Errorf("%s:%d: %w", file, i+1, err)
			}
		}
		if n[0] < 1 || n[0] > len(c.queries) || n[1] < 1 || n[1] > len(c.passages) || n[2] > 4 {
			return fmt.Errorf("%s:%d: no such question, document or grade: %q", file, i+1, line)
		}
		if n[2] < 1 {
			continue
		}
		c.queries[n[0]-1].gains[uint32(n[1]-1)] = float64(5 - n[2])
	}
	return nil
}

// readSMART gives the .W section of each record.
func readSMART(file string) ([]string, error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("reading a collection: %w", err)
	}
	defer func() { _ = f.Close() }()
	var texts []string
	section := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, ".I "):
			texts = append(texts, "")
			section = ".I"
		case len(line) == 2 && line[0] == '.' && line[1] >= 'A' && line[1] <= 'Z':
			section = line
		case len(texts) == 0:
			return nil, errors.New(file + ": no record begins with .I")
		case section == ".W":
			texts[len(texts)-1] += line + "\n"
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return texts, nil
}
