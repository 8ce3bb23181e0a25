package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"
)

// What a form may hold, within the route's limit for the whole.
const (
	maxParts       = 32
	maxPartHeaders = 16 << 10
	maxFieldBytes  = 64 << 10
	maxFieldName   = 128
	maxFileName    = 255
)

func badForm(reason string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_form", Message: "the form is malformed: " + reason}
}

// form reads text fields and at most one file.
func (u *Upload) form(body *uploadBody, boundary string) error {
	if boundary == "" {
		return badForm("the content-type names no boundary")
	}
	u.Fields = map[string]string{}
	parts := multipart.NewReader(body, boundary)
	for n := 0; ; n++ {
		// The reader looks ahead, so that this much of a file may be among it.
		body.bounded, body.headers = true, maxPartHeaders
		part, err := parts.NextRawPart()
		body.bounded = false
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return badForm("it has no parts, or another boundary than the content-type names")
		case errors.Is(err, io.EOF):
			// What comes after the end is nobody's, but the client's leaving is seen only
			// behind it.
			_, err = io.Copy(io.Discard, body)
			return err
		case err != nil:
			return err
		case n == maxParts:
			return badForm(fmt.Sprintf("it has more than %d parts", maxParts))
		}
		if err := u.part(part); err != nil {
			return err
		}
	}
}

func (u *Upload) part(p *multipart.Part) error {
	kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	name := params["name"]
	if err != nil || kind != "form-data" || name == "" || len(name) > maxFieldName || !utf8.ValidString(name) {
		return badForm(fmt.Sprintf("each part needs content-disposition: form-data with a name of at most %d bytes", maxFieldName))
	}
	switch strings.ToLower(p.Header.Get("Content-Transfer-Encoding")) {
	case "", "binary", "8bit", "7bit":
	default:
		return badForm("parts are taken as they are: leave content-transfer-encoding out")
	}
	if _, isFile := params["filename"]; isFile {
		return u.file(p, name)
	}
	if _, twice := u.Fields[name]; twice {
		return badForm("a field comes twice")
	}
	text, err := io.ReadAll(io.LimitReader(p, maxFieldBytes+1))
	if err != nil {
		return err
	}
	if len(text) > maxFieldBytes {
		return badForm(fmt.Sprintf("a text field is longer than %d bytes: send it as a file", maxFieldBytes))
	}
	if !utf8.Valid(text) {
		return badForm("a text field is not valid UTF-8")
	}
	u.Fields[name] = string(text)
	return nil
}

func (u *Upload) file(p *multipart.Part, field string) error {
	if u.File != nil {
		return badForm("it has more than one file")
	}
	f := &File{Field: field, Name: p.FileName()}
	if len(f.Name) > maxFileName || !utf8.ValidString(f.Name) {
		return badForm(fmt.Sprintf("the file's name must be UTF-8 of at most %d bytes", maxFileName))
	}
	if h := p.Header.Get("Content-Type"); h != "" {
		kind, _, err := mime.ParseMediaType(h)
		if err != nil {
			return badForm("the file's content-type is malformed")
		}
		f.ContentType = kind
	}
	data, err := io.ReadAll(p)
	if err != nil {
		return err
	}
	f.Data = data
	u.File = f
	return nil
}
