package turn

// newText begins the text of a step.
func (t *Turn) newText() {
	t.raw.Reset()
	t.from, t.between = t.told.Len(), t.spoke
}

// say passes on what the model writes, behind a paragraph if it is of another step than
// what was said before.
func (t *Turn) say(text string) error {
	if t.between {
		t.between = false
		if err := t.tell(paragraph); err != nil {
			return err
		}
		t.from = t.told.Len()
	}
	t.spoke = true
	if t.filter != nil {
		t.raw.WriteString(text)
	}
	return t.tell(text)
}

// tell sends a text through the filter, if there is one, to the sink. Without untrusted
// text nothing is held back and nothing kept twice.
func (t *Turn) tell(text string) error {
	if t.filter != nil {
		if text = t.filter.Write(text); text == "" {
			return nil
		}
	}
	t.told.WriteString(text)
	return t.sink.Text(text)
}

// written is what the model wrote in this step.
func (t *Turn) written() string {
	if t.filter != nil {
		return t.raw.String()
	}
	return t.told.String()[t.from:]
}
