package extract

import (
	"errors"
	"fmt"
)

// Error says why a file can't be read: an answer for the one who sent it. Two are the
// same to errors.Is if their codes are.
type Error struct {
	// Code is stable.
	Code string `json:"code"`
	// Message says what to do and holds nothing of the file.
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Is compares codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

func (e *Error) because(format string, args ...any) error {
	return &Error{Code: e.Code, Message: e.Message + ": " + fmt.Sprintf(format, args...)}
}

// ErrUnavailable: files can't be read here at the moment, whatever they are. What it wraps is
// for whoever operates the server.
var ErrUnavailable = errors.New("files can't be read at the moment")

// Why a file can't be read.
var (
	ErrEncrypted   = &Error{Code: "document_encrypted", Message: "the document is encrypted: save it without a password and send that"}
	ErrBroken      = &Error{Code: "document_broken", Message: "the document is damaged or isn't of the type that it says: open it, save it anew and send that"}
	ErrTooLarge    = &Error{Code: "document_too_large", Message: "the document is too large: split it"}
	ErrUnsupported = &Error{Code: "document_unsupported", Message: "a document of this type can't be read: send text, Markdown, HTML, PDF or DOCX"}
	ErrEmpty       = &Error{Code: "document_empty", Message: "the document holds no text: scanned pages need a text layer (OCR) first"}
	ErrBomb        = &Error{Code: "document_bomb", Message: "the document unpacks to more than it may, or takes too much memory: save it anew without what isn't text, or split it"}
	ErrTimeout     = &Error{Code: "document_timeout", Message: "reading the document took too long: split it or send its text"}
)

// all of them, for those that come from the child.
var all = []*Error{ErrEncrypted, ErrBroken, ErrTooLarge, ErrUnsupported, ErrEmpty, ErrBomb, ErrTimeout}
