package guard

// Source is a passage that an answer may rest on, as clients see it.
type Source struct {
	// ID is the number by which an answer cites it: 1 is written [1].
	ID    int    `json:"id"`
	DocID string `json:"docId"`
	// ChunkID names the passage: the document's id, # and the passage's number.
	ChunkID string `json:"chunkId"`
	Title   string `json:"title,omitempty"`
	URL     string `json:"url,omitempty"`
	Source  string `json:"source,omitempty"`
	// Headings lead to the passage in its document, outermost first.
	Headings []string `json:"headings,omitempty"`
	// Page of a paged document.
	Page int    `json:"page,omitempty"`
	Text string `json:"text"`
	// Score is from 0 to 1.
	Score float64 `json:"score"`
}
