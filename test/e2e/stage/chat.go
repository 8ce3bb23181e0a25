package stage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// Said is what came of one streamed chat.
type Said struct {
	Status int
	Header http.Header
	// Text is the answer.
	Text string
	// Tokens is how many token events came.
	Tokens int
	// Done is the payload of the final event.
	Done map[string]any
	// Code of the error event, if one came.
	Code string
}

// Chat sends one message and reads the streamed answer, telling each token as it
// comes. An answer that isn't 200 is no error; its body is Text.
func Chat(ctx context.Context, url, key, session, message string, told io.Writer) (Said, error) {
	return ChatBy(ctx, http.DefaultClient, url, key, session, message, told)
}

// ChatBy is Chat with a client of the caller's.
func ChatBy(ctx context.Context, client *http.Client, url, key, session, message string, told io.Writer) (Said, error) {
	if session == "" {
		session = uuid.NewString()
	}
	body, err := json.Marshal(map[string]any{"sessionId": session, "message": message, "stream": true})
	if err != nil {
		return Said{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/chat", bytes.NewReader(body))
	if err != nil {
		return Said{}, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return Said{}, err
	}
	defer func() { _ = res.Body.Close() }()
	said := Said{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		said.Text = string(text)
		return said, err
	}
	return said, said.read(res.Body, told)
}

func (s *Said) read(stream io.Reader, told io.Writer) error {
	event := ""
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "":
			event = ""
		case strings.HasPrefix(line, "event: "):
			event = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data: "):
			if err := s.take(event, strings.TrimPrefix(line, "data: "), told); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the stream: %w", err)
	}
	if s.Done == nil {
		return errors.New("the stream ended without its final event")
	}
	return nil
}

func (s *Said) take(event, data string, told io.Writer) error {
	var payload map[string]any
	if err := json.Unmarshal([]byte(data), &payload); err != nil {
		return fmt.Errorf("an event holds no JSON: %w", err)
	}
	switch event {
	case "done":
		s.Done = payload
	case "error":
		s.Code, _ = payload["code"].(string)
	default:
		content, _ := payload["content"].(string)
		s.Tokens++
		s.Text += content
		_, _ = io.WriteString(told, content)
	}
	return nil
}
