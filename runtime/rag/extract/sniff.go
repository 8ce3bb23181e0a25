package extract

import (
	"bytes"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

var (
	magicPDF = []byte("%PDF-")
	magicZIP = []byte("PK\x03\x04")
	magicOLE = []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
)

// sniff tells what a file is by its bytes, and which kind of text by what was declared.
func sniff(in Input) (string, error) {
	declared, _, _ := mime.ParseMediaType(in.ContentType)
	ext := strings.ToLower(path.Ext(in.Name))
	head := in.Data[:min(len(in.Data), 1024)]
	switch {
	case bytes.Contains(head, magicPDF) && !looksLikeText(declared, head):
		return TypePDF, nil
	case bytes.HasPrefix(head, magicZIP):
		return TypeDOCX, nil
	case bytes.HasPrefix(head, magicOLE):
		// An encrypted DOCX is a container with this stream, named in UTF-16.
		if bytes.Contains(in.Data, wide("EncryptedPackage")) {
			return "", ErrEncrypted
		}
		return "", ErrUnsupported.because("this is an old Office format; save it as DOCX")
	case declared == TypePDF || ext == ".pdf" || declared == TypeDOCX || ext == ".docx":
		return "", ErrBroken
	case bytes.HasPrefix(head, []byte(`{\rtf`)):
		return "", ErrUnsupported.because("this is RTF; save it as DOCX")
	}
	// Texts may begin like such a file: "BMW" like a bitmap, "ID3" like a song.
	text := utf8.Valid(in.Data) && !binary(in.Data)
	if major, _, _ := strings.Cut(http.DetectContentType(head), "/"); !text && (major == "image" || major == "audio" || major == "video" || major == "font") {
		return "", ErrUnsupported.because("this is %s", major)
	}
	switch {
	case declared == TypeHTML || declared == "application/xhtml+xml":
		return TypeHTML, nil
	case declared == TypeMarkdown || declared == "text/x-markdown" || ext == ".md" || ext == ".markdown":
		return TypeMarkdown, nil
	case ext == ".html" || ext == ".htm" || ext == ".xhtml" || strings.HasPrefix(http.DetectContentType(head), TypeHTML):
		return TypeHTML, nil
	case declared == "" && ext == "" && headed(in.Data):
		return TypeMarkdown, nil
	}
	return TypeText, nil
}

// atx is a heading of Markdown.
var atx = regexp.MustCompile(`^#{1,6} +[^ #]`)

// headed tells a text with Markdown's headings from one with comments that begin alike: a
// heading stands after an empty line or a heading above its level.
func headed(data []byte) bool {
	found, free, level := false, true, 0
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, " \t\r\n")
		if !atx.Match(line) {
			free, level = len(line) == 0, 0
			continue
		}
		deeper := bytes.IndexByte(line, ' ')
		if !free && (level == 0 || deeper <= level) {
			return false
		}
		found, free, level = true, false, deeper
	}
	return found
}

// looksLikeText keeps a text that speaks of the mark of PDF from being taken for one.
func looksLikeText(declared string, head []byte) bool {
	return strings.HasPrefix(declared, "text/") && !bytes.HasPrefix(head, magicPDF)
}

func wide(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// decode gives a text in UTF-8: by its byte order mark, else by its declared charset, a
// page's own included, else it must be UTF-8.
func decode(in Input) (string, error) {
	_, params, _ := mime.ParseMediaType(in.ContentType)
	declared := params["charset"]
	data := in.Data
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data, declared = data[3:], "utf-8"
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		return utf16Text(data[2:], 1)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		return utf16Text(data[2:], 0)
	}
	if binary(data) {
		return "", ErrUnsupported.because("these bytes are no text")
	}
	if utf8.Valid(data) {
		return string(data), nil
	}
	encoding, name := charset.Lookup(declared)
	if encoding == nil {
		// A page says its charset in its head.
		if encoding, name, _ = charset.DetermineEncoding(data[:min(len(data), 1024)], in.ContentType); declared == "" && !saysCharset(data) {
			encoding = nil
		}
	}
	if encoding == nil || name == "utf-8" {
		return "", ErrUnsupported.because("the text isn't UTF-8; declare its charset, or save it as UTF-8")
	}
	text, err := encoding.NewDecoder().Bytes(data)
	if err != nil {
		return "", ErrBroken.because("the text isn't in the charset that was declared")
	}
	return string(text), nil
}

func saysCharset(data []byte) bool {
	return bytes.Contains(bytes.ToLower(data[:min(len(data), 1024)]), []byte("charset="))
}

// utf16Text decodes UTF-16 whose upper byte stands at high, 0 or 1, of each pair.
func utf16Text(data []byte, high int) (string, error) {
	if len(data)%2 != 0 {
		return "", ErrBroken.because("the text ends within a character of UTF-16")
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = uint16(data[2*i+high])<<8 | uint16(data[2*i+1-high])
	}
	return string(utf16.Decode(units)), nil
}

// binary tells bytes that no text has: a NUL, or many other control characters.
func binary(data []byte) bool {
	control := 0
	for _, c := range data[:min(len(data), 64<<10)] {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\v' && c != 0x1b {
			control++
		}
	}
	return bytes.IndexByte(data, 0) >= 0 || control > len(data[:min(len(data), 64<<10)])/50
}
