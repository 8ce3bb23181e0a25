package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
)

const nearest = 10

// scan compares a scan with reading as many bytes once, in turns on one core. The floor is
// the standard library's search for a byte that isn't there: the widest loop it has.
func scan(_ context.Context, _ string, c corpus) (map[string]float64, error) {
	x, err := vectorindex.New(dimensions)
	if err != nil {
		return nil, err
	}
	for n := range c.chunks {
		if err := x.Set(uint32(n), c.vector(n)); err != nil {
			return nil, err
		}
	}
	matrix := bytes.Repeat([]byte{1}, c.chunks*dimensions)
	runtime.GOMAXPROCS(1)
	runtime.GC()
	var scans, floors []time.Duration
	for n := range 100 {
		q := c.vector(c.chunks + n)
		begin := time.Now()
		if bytes.IndexByte(matrix, 0) >= 0 {
			return nil, errors.New("found a byte that isn't there")
		}
		floors = append(floors, time.Since(begin))
		begin = time.Now()
		hits, err := x.Scan(q, 4*nearest, nil)
		if err != nil || len(hits) != 4*nearest {
			return nil, errors.Join(err, errors.New("a scan found too little"))
		}
		scans = append(scans, time.Since(begin))
	}
	slices.Sort(scans)
	slices.Sort(floors)
	return map[string]float64{"scan_ms": ms(scans[len(scans)/2]), "floor_ms": ms(floors[len(floors)/2])}, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// truth leaves the nearest passages of each query by exact numbers.
func truth(_ context.Context, dir string, c corpus) (map[string]float64, error) {
	vectors := make([][]float32, queries)
	for i := range vectors {
		_, vectors[i] = c.query(i)
	}
	type scored struct {
		n     int
		score float64
	}
	best := make([][]scored, queries)
	var mu sync.Mutex
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			mine := make([][]scored, queries)
			for n := w; n < c.chunks; n += workers {
				v := c.vector(n)
				for i, q := range vectors {
					s := scored{n, cosine(q, v)}
					if len(mine[i]) == nearest && s.score <= mine[i][nearest-1].score {
						continue
					}
					at, _ := slices.BinarySearchFunc(mine[i], s, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
					mine[i] = slices.Insert(mine[i], at, s)
					mine[i] = mine[i][:min(nearest, len(mine[i]))]
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range best {
				best[i] = append(best[i], mine[i]...)
			}
		})
	}
	wait.Wait()
	numbers := make([][]int, queries)
	for i, all := range best {
		slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
		for _, s := range all[:nearest] {
			numbers[i] = append(numbers[i], s.n)
		}
	}
	text, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	return map[string]float64{}, os.WriteFile(filepath.Join(dir, "truth.json"), text, 0o600)
}

// cosine in four sums, for there are 30 million of them.
func cosine(a, b []float32) float64 {
	var dot, bb, dot2, bb2 float32
	for i := 0; i+1 < len(a); i += 2 {
		dot += a[i] * b[i]
		bb += b[i] * b[i]
		dot2 += a[i+1] * b[i+1]
		bb2 += b[i+1] * b[i+1]
	}
	return float64(dot+dot2) / math.Sqrt(float64(bb+bb2)) // in the order of cosines, for one a
}
