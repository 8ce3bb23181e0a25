package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// goal is what a figure must reach.
type goal struct {
	name    string
	unit    string
	limit   float64
	atLeast bool // the figure must be at least the limit, not at most
	meaning string
}

// goals in the order in which they are told.
var goals = []goal{
	{"chat_unary_cpu_over_floor", "ratio", 1.6, false, "server CPU per unary chat, state in memory"},
	{"chat_unary_cpu_over_floor_durable", "ratio", 2.5, false, "server CPU per unary chat, state on disk"},
	{"chat_rps64_over_floor", "ratio", 0.75, true, "unary chats per second over 64 connections, cores shared with client and upstream"},
	{"stream_ttft_added_over_floor_ms", "ms", 0.5, false, "time to first token, median, 8 streams of 20 tokens 20 ms apart, less the floor's"},
	{"streams1000_cut", "streams", 0, false, "streams of 1,000 that ended without all tokens and a final event"},
	{"streams1000_rss_mib", "MiB", 130, false, "largest resident memory while 1,000 streams were open"},
	{"stream_cpu_per_token_over_floor", "ratio", 1.25, false, "server CPU per token of 1,000 streams of 50 tokens 100 ms apart"},
	{"usage_lost", "records", 0, false, "calls and tokens the upstream gave and the store doesn't know, over full load and SIGTERM"},
	{"runtime_ready_ms", "ms", 100, false, "exec to first answer, median of 10"},
	{"runtime_idle_rss_mib", "MiB", 25, false, "resident memory of an idle runtime"},
	{"runtime_image_mib", "MiB", 30, false, "compressed size of the runtime's image"},
	{"apply_to_ready_s", "s", 5, false, "one Tenant on a real node, image present, median of 3"},
	{"live_change_s", "s", 5, false, "a limit changed in the spec is in force in the running pod, worst of 3"},
}

// figure is one line of docs/benchmarks.json.
type figure struct {
	Name  string   `json:"name"`
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	Goal  string   `json:"goal"`
	OK    bool     `json:"ok"`
}

// results are the figures that were measured, by name, and the raw numbers behind
// them.
type results struct {
	values map[string]float64
	notes  []string
}

func (r *results) set(name string, value float64) { r.values[name] = value }

func (r *results) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.notes = append(r.notes, line)
	fmt.Println("  " + line)
}

func (r *results) figures() []figure {
	out := make([]figure, 0, len(goals))
	for _, g := range goals {
		sign := "<="
		if g.atLeast {
			sign = ">="
		}
		f := figure{Name: g.name, Unit: g.unit, Goal: fmt.Sprintf("%s %g", sign, g.limit)}
		if v, ok := r.values[g.name]; ok {
			f.Value = &v
			f.OK = v <= g.limit
			if g.atLeast {
				f.OK = v >= g.limit
			}
		}
		out = append(out, f)
	}
	return out
}

// write writes docs/benchmarks.json and docs/benchmarks.md under root.
func (r *results) write(root, command string) error {
	figures := r.figures()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(figures); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "benchmarks.json"), text.Bytes(), 0o644); err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Benchmarks\n\nMeasured by `%s` on %s, commit %s: %s.\n\n", command, time.Now().UTC().Format(time.DateOnly), commit(root), machine())
	b.WriteString("Ratios compare with the floor (`test/bench/floor`: a bare reverse proxy that reads the request's body first) in the\n" +
		"same run, in alternating rounds. Everything of the runtime is on: authentication, rate limit, budget, session store,\nmetrics. An empty value was not measured in this run.\n\n")
	b.WriteString("| name | what | value | goal | reached |\n|---|---|---|---|---|\n")
	for i, f := range figures {
		value, reached := "", "not measured"
		if f.Value != nil {
			value, reached = fmt.Sprintf("%.3g %s", *f.Value, f.Unit), "no"
			if f.OK {
				reached = "yes"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, goals[i].meaning, value, f.Goal, reached)
	}
	b.WriteString("\n## Raw numbers\n\n")
	for _, n := range r.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	return os.WriteFile(filepath.Join(root, "docs", "benchmarks.md"), b.Bytes(), 0o644)
}

func commit(root string) string {
	out, err := exec.Command("git", "-C", root, "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func machine() string {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), model, runtime.Version())
}

func median[T int64 | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
