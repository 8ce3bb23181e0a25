package move

import "github.com/crispy-enigma/crispy-enigma/runtime/storage"

// Counts are how many things were moved.
type Counts struct {
	Sessions int64 `json:"sessions"`
	Messages int64 `json:"messages"`
	Budgets  int64 `json:"budgets"`
	Usage    int64 `json:"usage"`
	Audit    int64 `json:"audit"`
	// Documents with their passages, which come in Parts.
	Documents int64 `json:"documents"`
	Passages  int64 `json:"passages"`
	Parts     int64 `json:"parts"`
}

// Records is how many records those are; messages are part of their sessions, passages of
// parts.
func (c Counts) Records() int64 {
	return c.Sessions + c.Budgets + c.Usage + c.Audit + c.Documents + c.Parts
}

func (c *Counts) add(r storage.Record) {
	switch {
	case r.Session != nil:
		c.Sessions++
		c.Messages += int64(len(r.Session.Messages))
	case r.Budget != nil:
		c.Budgets++
	case r.Usage != nil:
		c.Usage++
	case r.Audit != nil:
		c.Audit++
	case r.Document != nil:
		c.Documents++
	case r.Passages != nil:
		c.Parts++
		c.Passages += int64(len(r.Passages.Passages))
	}
}
