package cloudflaretypes

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Target is where the types lie, relative to the repository.
const Target = "api/cloudflareapi/zz_generated.go"

const source = "hack/fakecloudflare/openapi/cloudflare.json.gz"

// Generate makes the text of Target from the document in the repository at root.
func Generate(root string) ([]byte, error) {
	doc, err := read(filepath.Join(root, filepath.FromSlash(source)))
	if err != nil {
		return nil, fmt.Errorf("reading Cloudflare's document: %w", err)
	}
	return generate(doc, structs)
}

func generate(doc document, structs []wanted) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("// Code generated from Cloudflare's API document by hack/verify. DO NOT EDIT.\n\npackage cloudflareapi\n")
	for _, w := range structs {
		s, err := doc.find(w.from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Fprintf(&out, "\n// %s %s.\ntype %s struct {\n", w.name, w.doc, w.name)
		for _, field := range w.fields {
			line, err := doc.field(w.name, s, field)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", w.name, field, err)
			}
			out.WriteString(line)
		}
		out.WriteString("}\n")
	}
	return format.Source(out.Bytes())
}

// document is as much of an OpenAPI document as is needed.
type document struct {
	Paths map[string]map[string]struct {
		RequestBody struct {
			Content map[string]struct {
				Schema schema `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Content map[string]struct {
				Schema schema `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Format     string            `json:"format"`
	Enum       []any             `json:"enum"`
	MaxLength  *int              `json:"maxLength"`
	Minimum    *float64          `json:"minimum"`
	Maximum    *float64          `json:"maximum"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	AnyOf      []schema          `json:"anyOf"`
}

func read(path string) (document, error) {
	var doc document
	packed, err := os.ReadFile(path)
	if err != nil {
		return doc, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return doc, err
	}
	text, err := io.ReadAll(io.LimitReader(zip, 64<<20))
	if err != nil {
		return doc, err
	}
	return doc, json.Unmarshal(text, &doc)
}

// resolve follows references to the schema they mean.
func (d document) resolve(s schema) (schema, error) {
	for range 16 {
		if s.Ref == "" {
			return s, nil
		}
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		next, ok := d.Components.Schemas[name]
		if !ok {
			return s, fmt.Errorf("the document has no schema %s", name)
		}
		s = next
	}
	return s, fmt.Errorf("%s refers to itself", s.Ref)
}

func (d document) find(from string) (schema, error) {
	words := strings.Fields(from)
	if words[0] == "schema" {
		return d.resolve(schema{Ref: "#/components/schemas/" + words[1]})
	}
	op, ok := d.Paths[words[2]][strings.ToLower(words[1])]
	if !ok {
		return schema{}, fmt.Errorf("the document has no %s %s", words[1], words[2])
	}
	if words[0] == "request" {
		return d.resolve(op.RequestBody.Content["application/json"].Schema)
	}
	envelope, err := d.resolve(op.Responses["200"].Content["application/json"].Schema)
	if err != nil {
		return schema{}, err
	}
	return d.resolve(envelope.Properties["result"])
}

// field is the line, or lines, of a struct's field.
func (d document) field(name string, s schema, field string) (string, error) {
	property, ok := s.Properties[field]
	if !ok {
		return "", fmt.Errorf("the document has no such field")
	}
	property, err := d.resolve(property)
	if err != nil {
		return "", err
	}
	goType := d.goType(name+"."+field, property)
	if goType == "" {
		return "", fmt.Errorf("its type %q has no place in a struct", property.Type)
	}
	tag := field
	if !slices.Contains(s.Required, field) || optional[name+"."+field] {
		if tag += ",omitempty"; goType == nested[name+"."+field] {
			goType = "*" + goType
		}
	}
	limits := limits(property)
	if limits != "" {
		limits = "// " + goName(field) + " " + limits + ".\n"
	}
	return fmt.Sprintf("%s%s %s `json:%q`\n", limits, goName(field), goType, tag), nil
}

func (d document) goType(place string, s schema) string {
	if other := nested[place]; other != "" {
		if s.Type == "array" {
			return "[]" + other
		}
		return other
	}
	switch s.Type {
	case "string":
		return "string"
	case "integer":
		return "int"
	case "boolean":
		return "bool"
	}
	if len(s.AnyOf) > 0 {
		return "map[string]any"
	}
	return ""
}

// limits says what the document demands of a value.
func limits(s schema) string {
	switch {
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		return "is " + strings.Join(words, ", ")
	case s.Format == "date-time":
		return "is a time"
	case s.MaxLength != nil:
		return fmt.Sprintf("has at most %d characters", *s.MaxLength)
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("is %v to %v", *s.Minimum, *s.Maximum)
	}
	return ""
}

// goName spells a field as Go does.
func goName(field string) string {
	name := ""
	for _, word := range strings.Split(field, "_") {
		switch word {
		case "id", "uuid":
			name += strings.ToUpper(word)
		default:
			name += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return name
}
