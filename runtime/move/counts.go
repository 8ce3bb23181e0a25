package move

import "github.com/crispy-enigma/crispy-enigma/runtime/storage"

// Counts are how many things were moved.
type Counts struct {
	Sessions int64 `json:"sessions"`
	Messages int64 `json:"messages"`
	Budgets  int64 `json:"budgets"`
	Usage    int64 `json:"usage"`
	Audit    int64 `json:"audit"`
}

// Records is how many records those are; messages are part of their sessions.
func (c Counts) Records() int64 { return c.Sessions + c.Budgets + c.Usage + c.Audit }

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
	}
}
