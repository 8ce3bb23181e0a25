package extract

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
)

// answer is what a child writes.
type answer struct {
	Document *Document `json:"document,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// Child is the program "extract": it reads one file of the type that the flags name from
// in and writes its answer to out. The status is 0 if
// there is one, and 1 if that isn't the file's fault.
func Child(args []string, in io.Reader, out io.Writer) int {
	flags := flag.NewFlagSet("extract", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	kind := flags.String("type", "", "content type of the file")
	var l Limits
	flags.Int64Var(&l.Memory, "memory", 0, "bytes of memory")
	flags.Int64Var(&l.MaxText, "text", 0, "largest text in bytes")
	flags.IntVar(&l.MaxPages, "pages", 0, "most pages")
	flags.StringVar(&l.CacheDir, "cache", "", "directory of compiled code")
	if err := flags.Parse(args); err != nil || *kind == "" {
		return 1
	}
	l = l.withDefaults()
	// The collector works harder near the bound; the parent ends what goes beyond it.
	debug.SetMemoryLimit(l.Memory * 5 / 8)
	confine()
	data, err := io.ReadAll(in)
	if err != nil {
		return 1
	}
	var a answer
	// White space before the answer tells that what fails from now on is the file's fault.
	d, err := read(*kind, data, l, func() { _, _ = io.WriteString(out, "\n") })
	if e, ok := errors.AsType[*Error](err); ok {
		a.Error = e
	} else if err != nil {
		return 1
	} else {
		a.Document = &d
	}
	w := json.NewEncoder(out)
	w.SetEscapeHTML(false)
	if err := w.Encode(a); err != nil {
		return 1
	}
	return 0
}

// inChild has a file read by another process.
func (x *Extractor) inChild(ctx context.Context, kind string, data []byte) (Document, error) {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return Document{}, ctx.Err()
	}
	l := x.limits
	args := []string{
		"-type", kind, "-memory", fmt.Sprint(l.Memory), "-text", fmt.Sprint(l.MaxText),
		"-pages", fmt.Sprint(l.MaxPages), "-cache", l.CacheDir,
	}
	out, err := run(ctx, l, args, data)
	if err != nil {
		if ctx.Err() != nil {
			return Document{}, ctx.Err()
		}
		return Document{}, err
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		return Document{}, fmt.Errorf("%w: reading what the extracting process wrote: %w", ErrUnavailable, err)
	}
	if a.Error != nil {
		return Document{}, told(a.Error)
	}
	if a.Document == nil {
		return Document{}, ErrBroken
	}
	return *a.Document, nil
}

// told takes a child's error for one of this package's: the child has read a hostile file
// and isn't believed more than that.
func told(e *Error) error {
	for _, known := range all {
		if e.Code == known.Code {
			return e
		}
	}
	return ErrBroken
}
