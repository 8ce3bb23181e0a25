package figures

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Goal is what a figure must reach.
type Goal struct {
	Name  string
	Unit  string
	Limit float64
	// AtLeast: the figure must be at least the limit, not at most.
	AtLeast bool
	Meaning string
}

// Figure is one line of docs/benchmarks.json. A value that wasn't measured is nil.
type Figure struct {
	Name  string   `json:"name"`
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	Goal  string   `json:"goal"`
	OK    bool     `json:"ok"`
}

// Results are the figures that a command measured, and the raw numbers behind them.
type Results struct {
	// Goals of the command, in the order in which they are told.
	Goals []Goal

	values map[string]float64
	notes  []string
}

// Set the value of a figure.
func (r *Results) Set(name string, value float64) {
	if r.values == nil {
		r.values = map[string]float64{}
	}
	r.values[name] = value
}

// Note a raw number, and print it.
func (r *Results) Note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.notes = append(r.notes, line)
	fmt.Println("  " + line)
}

// Figures of all goals.
func (r *Results) Figures() []Figure {
	out := make([]Figure, 0, len(r.Goals))
	for _, g := range r.Goals {
		sign := "<="
		if g.AtLeast {
			sign = ">="
		}
		f := Figure{Name: g.Name, Unit: g.Unit, Goal: fmt.Sprintf("%s %g", sign, g.Limit)}
		if v, ok := r.values[g.Name]; ok {
			f.Value = &v
			f.OK = v <= g.Limit
			if g.AtLeast {
				f.OK = v >= g.Limit
			}
		}
		out = append(out, f)
	}
	return out
}

// Print the figures that were measured.
func (r *Results) Print() {
	for _, f := range r.Figures() {
		if f.Value != nil {
			fmt.Printf("%-36s %10.3f %-8s goal %s, reached: %t\n", f.Name, *f.Value, f.Unit, f.Goal, f.OK)
		}
	}
}

// Write the command's lines of docs/benchmarks.json and its section of docs/benchmarks.md
// under root. intro says what the figures compare.
func (r *Results) Write(root, command, intro string) error {
	if err := r.writeJSON(filepath.Join(root, "docs", "benchmarks.json")); err != nil {
		return err
	}
	return r.writeSection(filepath.Join(root, "docs", "benchmarks.md"), root, command, intro)
}

func (r *Results) writeJSON(path string) error {
	var all []Figure
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(old) > 0 {
		if err := json.Unmarshal(old, &all); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	for _, f := range r.Figures() {
		if i := slices.IndexFunc(all, func(o Figure) bool { return o.Name == f.Name }); i >= 0 {
			all[i] = f
		} else {
			all = append(all, f)
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

const title = "# Benchmarks\n"

// heading begins a command's section, up to the command's flags.
func heading(command string) string {
	words := strings.Fields(command)
	return "## `" + strings.Join(words[:min(2, len(words))], " ") + "`\n"
}

func (r *Results) writeSection(path, root, command, intro string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mine := heading(command) + r.section(root, command, intro)
	text, replaced := title, false
	for _, section := range sections(string(old)) {
		if strings.HasPrefix(section, heading(command)) {
			section, replaced = mine, true
		}
		text += "\n" + section
	}
	if !replaced {
		text += "\n" + mine
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// sections of the document, each from its heading on, without the empty line between.
func sections(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "## "):
			out = append(out, line)
		case len(out) > 0:
			out[len(out)-1] += line
		}
	}
	for i := range out {
		out[i] = strings.TrimRight(out[i], "\n") + "\n"
	}
	return out
}

func (r *Results) section(root, command, intro string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured by `%s` on %s, commit %s: %s.\n\n%s An empty value was not measured in this run.\n\n",
		command, time.Now().UTC().Format(time.DateOnly), commit(root), machine(), intro)
	b.WriteString("| name | what | value | goal | reached |\n|---|---|---|---|---|\n")
	for i, f := range r.Figures() {
		value, reached := "", "not measured"
		if f.Value != nil {
			value, reached = fmt.Sprintf("%.3g %s", *f.Value, f.Unit), "no"
			if f.OK {
				reached = "yes"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, r.Goals[i].Meaning, value, f.Goal, reached)
	}
	b.WriteString("\n### Raw numbers\n\n")
	for _, n := range r.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	return b.String()
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
