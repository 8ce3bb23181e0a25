package cloudflare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// maxMetadata is how long a vector's metadata is at most, as JSON.
const maxMetadata = 10 << 10

// The driver's own metadata. No property's name begins with an underscore.
const (
	metaDoc     = "_doc"
	metaVersion = "_version" // as text: JSON's numbers end at 2^53
	metaN       = "_n"
	metaText    = "_text"
	metaBeside  = "_beside" // the object that has the text instead
	metaAt      = "_at"     // when it was written, see change
)

func tagOf(t tenancy.ID) string { return statestore.Tag(t.Identity())[:16] }

// idOf names a chunk in at most 64 bytes: 16 of the tenant, and a digest of the whole
// key, tenant included. Who shares an index can't make another tenant's id.
func idOf(t tenancy.ID, k storage.ChunkKey) string {
	sum := sha256.Sum256([]byte(storage.Key(t, k.Doc, strconv.FormatInt(k.Version, 10), strconv.Itoa(k.N))))
	return tagOf(t) + "." + base64.RawURLEncoding.EncodeToString(sum[:])
}

type vectorLine struct {
	ID        string         `json:"id"`
	Values    []float32      `json:"values"`
	Namespace string         `json:"namespace,omitempty"`
	Metadata  map[string]any `json:"metadata"`
}

// longText is one that lies beside its vector.
type longText struct{ key, text string }

// record is a chunk as a line of an upsert, and its text if it doesn't fit in.
func (v *Vectors) record(t tenancy.ID, p Place, c *storage.Chunk, at int64) (line []byte, long *longText, err error) {
	metadata := maps.Clone(c.Metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata[metaDoc], metadata[metaVersion], metadata[metaN] = c.Doc, strconv.FormatInt(c.Version, 10), float64(c.N)
	metadata[metaAt], metadata[metaText] = strconv.FormatInt(at, 10), c.Text
	size := maxMetadata + 1
	if len(c.Text) <= maxMetadata {
		text, err := encode(metadata)
		if err != nil {
			return nil, nil, err
		}
		size = len(text)
	}
	if size > maxMetadata {
		if v.o.Texts == nil {
			return nil, nil, fmt.Errorf("%w: %d bytes don't fit into a vector's metadata, and there is no R2 bucket for them; name one in spec.cloudflare.originals or make smaller chunks", storage.ErrTextTooLong, len(c.Text))
		}
		sum := sha256.Sum256([]byte(c.Text))
		long = &longText{key: textPrefix(c.ChunkKey) + hex.EncodeToString(sum[:]), text: c.Text}
		delete(metadata, metaText)
		metadata[metaBeside] = long.key
	}
	line, err = encode(vectorLine{ID: idOf(t, c.ChunkKey), Values: unit(c.Vector), Namespace: p.Namespace, Metadata: metadata})
	return append(line, '\n'), long, err
}

// encode gives JSON of one line, in which a < is a <: its length counts.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding a call: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// readChunk reads what record wrote; not ok if it didn't.
func readChunk(metadata map[string]any) (c storage.Chunk, beside string, ok bool) {
	doc, hasDoc := metadata[metaDoc].(string)
	version, _ := metadata[metaVersion].(string)
	n, hasN := metadata[metaN].(float64)
	number, err := strconv.ParseInt(version, 10, 64)
	if !hasDoc || !hasN || err != nil {
		return c, "", false
	}
	text, hasText := metadata[metaText].(string)
	beside, _ = metadata[metaBeside].(string)
	c = storage.Chunk{ChunkKey: storage.ChunkKey{Doc: doc, Version: number, N: int(n)}, Text: text}
	for name, value := range metadata {
		if !strings.HasPrefix(name, "_") {
			if c.Metadata == nil {
				c.Metadata = map[string]any{}
			}
			c.Metadata[name] = value
		}
	}
	return c, beside, hasText != (beside != "")
}

// versionPrefix is where the long texts of one version of a document lie. Their own
// digest is part of the key: a replaced chunk's text is there until it is deleted, and
// no reader sees a text that isn't its vector's.
func versionPrefix(k storage.ChunkKey) string {
	sum := sha256.Sum256([]byte(k.Doc))
	return "chunk-texts/" + hex.EncodeToString(sum[:16]) + "/" + strconv.FormatInt(k.Version, 10) + "/"
}

func textPrefix(k storage.ChunkKey) string { return versionPrefix(k) + strconv.Itoa(k.N) + "-" }

func (v *Vectors) putTexts(ctx context.Context, t tenancy.ID, texts []longText) error {
	return each(len(texts), func(i int) error {
		return v.o.Texts.Put(ctx, t, texts[i].key, int64(len(texts[i].text)), strings.NewReader(texts[i].text))
	})
}

// text reads a long text. It isn't there once its chunk was deleted, though the vector
// may be seen for a while.
func (v *Vectors) text(ctx context.Context, t tenancy.ID, key string) (text string, there bool, err error) {
	if v.o.Texts == nil {
		return "", false, fmt.Errorf("%w: the text lies in an R2 bucket, and the document names none", storage.ErrUnavailable)
	}
	r, err := v.o.Texts.Get(ctx, t, key)
	if errors.Is(err, storage.ErrNoObject) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer func() { _ = r.Close() }() // it was read to its end, or is given up
	body, err := io.ReadAll(io.LimitReader(r, storage.MaxTextBytes+1))
	sum := sha256.Sum256(body)
	if err != nil || !strings.HasSuffix(key, "-"+hex.EncodeToString(sum[:])) {
		return "", false, fmt.Errorf("%w: a long text is not whole", storage.ErrUnavailable)
	}
	return string(body), true, nil
}

// dropTexts removes the long texts of chunks, those of replaced ones too.
func (v *Vectors) dropTexts(ctx context.Context, t tenancy.ID, keys []storage.ChunkKey) error {
	if v.o.Texts == nil {
		return nil
	}
	versions := map[string]map[string]bool{}
	for _, k := range keys {
		at := versionPrefix(k)
		if versions[at] == nil {
			versions[at] = map[string]bool{}
		}
		versions[at][strconv.Itoa(k.N)] = true
	}
	for at, numbers := range versions {
		for after := ""; ; {
			page, err := v.o.Texts.Keys(ctx, t, at, after, maxPage)
			if err != nil {
				return err
			}
			err = each(len(page), func(i int) error {
				if n, _, _ := strings.Cut(page[i][len(at):], "-"); numbers[n] {
					return v.o.Texts.Delete(ctx, t, page[i])
				}
				return nil
			})
			if err != nil {
				return err
			}
			if len(page) < maxPage {
				break
			}
			after = page[len(page)-1]
		}
	}
	return nil
}
