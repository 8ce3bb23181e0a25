package valkey

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

var errShort = errors.New("a value is shorter than it says")

// The first byte of a stored message.
const (
	partial = 1 << iota
	user
	assistant
	untrusted
)

// encode spells a message without its time, which the script puts in front.
func encode(m storage.Message) string {
	b := make([]byte, 1, 8+len(m.Content))
	if m.Partial {
		b[0] |= partial
	}
	if m.Untrusted {
		b[0] |= untrusted
	}
	switch m.Role {
	case storage.RoleUser:
		b[0] |= user
	case storage.RoleAssistant:
		b[0] |= assistant
	}
	b = binary.AppendVarint(b, int64(m.Tokens))
	if b[0]&(user|assistant) == 0 {
		b = append(b, part(m.Role)...)
	}
	return string(append(b, m.Content...))
}

// decode reads a message and the time before it.
func decode(row string) (m storage.Message, err error) {
	if len(row) < 10 {
		return m, unreadable(errShort)
	}
	m.At = milli(row)
	flags, rest := row[8], row[9:]
	m.Partial, m.Untrusted = flags&partial != 0, flags&untrusted != 0
	tokens, n := binary.Varint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
	if n <= 0 {
		return m, unreadable(errShort)
	}
	m.Tokens, m.Content = int(tokens), rest[n:]
	switch {
	case flags&user != 0:
		m.Role = storage.RoleUser
	case flags&assistant != 0:
		m.Role = storage.RoleAssistant
	default:
		m.Role, m.Content, err = cutPart(m.Content)
	}
	return m, err
}

// cutPart reads what part wrote, and returns what follows.
func cutPart(b string) (p, rest string, err error) {
	size, rest, _ := strings.Cut(b, ":")
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > len(rest) {
		return "", "", unreadable(errShort)
	}
	return rest[:n], rest[n:], nil
}

// parseMember reads a member of the index of all sessions: number, caller, id.
func parseMember(m string) (which name, err error) {
	if len(m) < 8 {
		return which, errShort
	}
	caller, rest, err := cutPart(m[8:])
	if err != nil {
		return which, err
	}
	id, _, err := cutPart(rest)
	return name{caller, id}, err
}
