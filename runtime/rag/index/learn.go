package index

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/lsa"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
)

// learnt is a model and the vectors of all passages by it: they change together.
type learnt struct {
	model   *lsa.Model
	vectors *vectorindex.Index
}

// foldRest is how many passages may be folded while no change is applied.
const foldRest = 1000

// learnSoon learns in the background if it is time to and nobody does already.
func (x *Index) learnSoon(ctx context.Context, learning *sync.WaitGroup) {
	if !x.learningDue() {
		return
	}
	select {
	case x.learning <- struct{}{}:
	default:
		return
	}
	learning.Go(func() {
		defer func() { <-x.learning }()
		if err := x.learn(ctx); err != nil && ctx.Err() == nil {
			x.options.Logger.Warn("vectors of documents couldn't be learnt; the ones before stay in use", "tenant", x.tenant, "error", err)
		}
	})
}

// learningDue: there is no model but enough passages, or since it was learnt as many
// came as it was learnt from.
func (x *Index) learningDue() bool {
	if x.options.Vectors != LearntVectors {
		return false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.learnt == nil {
		return x.shown >= lsa.MinPassages && x.fresh > 0
	}
	return x.fresh >= x.learnt.model.Passages
}

// Learn learns vectors from the passages if they have changed enough since it was last
// done, and returns when they are in use. Follow does it by itself.
func (x *Index) Learn(ctx context.Context) error {
	select {
	case x.learning <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-x.learning }()
	if !x.learningDue() {
		return nil
	}
	return x.learn(ctx)
}

// learn makes a model and the vectors of all passages by it, and puts both in force at
// once. Changes go on meanwhile.
func (x *Index) learn(ctx context.Context) error {
	x.mu.Lock()
	came := x.fresh
	x.fresh = 0
	x.mu.Unlock()
	again := func(err error) error {
		x.mu.Lock()
		x.fresh += came
		x.mu.Unlock()
		return err
	}
	x.mu.RLock()
	snapshot := x.text.Snapshot()
	x.mu.RUnlock()
	model, err := lsa.Train(ctx, snapshot.Counts(lsa.MaxPassages, lsa.MaxTerms), lsa.Rank, nil)
	if errors.Is(err, lsa.ErrTooFew) {
		return nil // until more passages come
	}
	if err != nil {
		return again(err)
	}
	vectors, err := vectorindex.New(model.Dimensions)
	if err != nil {
		return again(err)
	}
	f := folding{Index: x, next: &learnt{model, vectors}, done: map[*document]bool{}}
	for {
		rest, passages := f.rest()
		if passages <= foldRest {
			break
		}
		if err := f.fold(ctx, rest); err != nil {
			return again(err)
		}
	}
	if err := x.take(ctx); err != nil {
		return again(err)
	}
	defer x.give()
	rest, _ := f.rest()
	if err := f.fold(ctx, rest); err != nil {
		return again(err)
	}
	f.replace()
	return nil
}

// folding makes the vectors of a new model.
type folding struct {
	*Index
	next *learnt
	done map[*document]bool
}

// rest are the documents that are shown and not folded yet, and how many passages they
// have.
func (f *folding) rest() (rest []*document, passages int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, d := range f.documents {
		if !f.done[d] {
			rest, passages = append(rest, d), passages+len(d.slots)
		}
	}
	return rest, passages
}

// fold reads the documents again: the index keeps no texts.
func (f *folding) fold(ctx context.Context, rest []*document) error {
	for _, d := range rest {
		about, _, err := f.docs.Document(ctx, f.tenant, d.id)
		if err != nil {
			return fmt.Errorf("reading a document: %w", err)
		}
		// A slot may have another passage's vector from before.
		for _, slot := range d.slots {
			f.next.vectors.Remove(slot)
		}
		for from := 0; from < len(d.slots); {
			found, err := f.docs.Passages(ctx, f.tenant, d.id, d.version, from, passagesRead, false)
			if err != nil {
				return fmt.Errorf("reading passages: %w", err)
			}
			if len(found) == 0 {
				break // replaced: a change brings the new version, which is folded then
			}
			for i, p := range found[:min(len(found), len(d.slots)-from)] {
				if v := f.next.model.Fold(p.Text, surroundings(about, p)...); v != nil {
					_ = f.next.vectors.Set(d.slots[from+i], v) // a unit vector of the model's dimensions
				}
			}
			from += len(found)
		}
		f.done[d] = true
	}
	return nil
}

// replace puts the new model and its vectors in force.
func (f *folding) replace() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for slot := range uint32(len(f.passages)) {
		if !f.visible.has(slot) {
			f.next.vectors.Remove(slot)
		}
	}
	f.learnt = f.next
}
