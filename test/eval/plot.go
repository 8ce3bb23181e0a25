package main

import (
	"fmt"
	"math"
	"strings"
)

// The plot, in pixels.
const (
	plotWidth, plotHeight  = 720, 400
	plotLeft, plotRight    = 60, 180 // the names of lines stand right
	plotTop, plotBottom    = 40, 50
	plotFont, plotGrid     = "font-family='sans-serif' font-size='12'", "#d0d0d0"
	plotBackground, plotFg = "#ffffff", "#202020"
)

var plotColours = []string{"#1f5fa8", "#b4501e", "#2f7d4f", "#7a3fa0"}

// plot draws nDCG@10 by the weight of vectors, a line a data set, and beside it what text
// alone (dashed) reaches.
func plot(results []*result) string {
	low, high := 1.0, 0.0
	for _, r := range results {
		for _, q := range r.sweep {
			low, high = min(low, q.NDCG10), max(high, q.NDCG10)
		}
	}
	low, high = math.Floor(low*10)/10, math.Ceil(high*10)/10
	if high <= low {
		high = low + 0.1
	}
	width, height := float64(plotWidth-plotLeft-plotRight), float64(plotHeight-plotTop-plotBottom)
	// By the root: the weights in question lie near 0.
	x := func(w float64) float64 { return plotLeft + width*math.Sqrt(w/weights[len(weights)-1]) }
	y := func(v float64) float64 { return plotTop + height*(high-v)/(high-low) }

	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n", plotWidth, plotHeight, plotWidth, plotHeight)
	fmt.Fprintf(&b, "<title>nDCG@10 by the weight of vectors in the fusion</title>\n<rect width='100%%' height='100%%' fill='%s'/>\n<g %s fill='%s'>\n", plotBackground, plotFont, plotFg)
	fmt.Fprintf(&b, "<text x='%d' y='22' font-size='14'>nDCG@10 by the weight of vectors (dashed: text alone)</text>\n", plotLeft)
	for step := 0; step <= int(math.Round((high-low)*10)); step++ {
		v := low + float64(step)/10
		fmt.Fprintf(&b, "<line x1='%d' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s'/><text x='%d' y='%.1f' text-anchor='end'>%.1f</text>\n",
			plotLeft, plotLeft+width, y(v), y(v), plotGrid, plotLeft-8, y(v)+4, v)
	}
	for _, w := range []float64{0, 0.1, 0.25, 0.5, 1, 2} {
		fmt.Fprintf(&b, "<text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n", x(w), plotHeight-plotBottom+20, w)
	}
	for i, r := range results {
		colour := plotColours[i%len(plotColours)]
		var points []string
		for j, q := range r.sweep {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(weights[j]), y(q.NDCG10)))
		}
		fmt.Fprintf(&b, "<line x1='%d' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s' stroke-dasharray='4 4'/>\n", plotLeft, plotLeft+width, y(r.text.NDCG10), y(r.text.NDCG10), colour)
		fmt.Fprintf(&b, "<polyline points='%s' fill='none' stroke='%s' stroke-width='2'/>\n", strings.Join(points, " "), colour)
		if n := len(r.sweep); n > 0 {
			fmt.Fprintf(&b, "<text x='%.1f' y='%.1f' fill='%s'>%s</text>\n", plotLeft+width+10, y(r.sweep[n-1].NDCG10)+4, colour, r.name)
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}
