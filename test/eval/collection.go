package main

// collection is a judged set: passages, questions, and which passage answers which.
type collection struct {
	name     string
	about    string // one sentence for the report
	passages []string
	queries  []query
}

// query is a question and the gain of each passage that answers it, above 0.
type query struct {
	text  string
	gains map[uint32]float64
}
