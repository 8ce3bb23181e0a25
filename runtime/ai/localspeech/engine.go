package localspeech

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// engine is a program that reads its standard input out into the file outFile.
type engine struct {
	path string
	kind kind
}

// kind is how an engine is asked.
type kind struct {
	program string
	list    string
	// voices reads what list prints.
	voices func(text []byte) []string
	args   func(voice string, speed float64) ([]string, error)
}

// kinds in their order of preference: flite's voices are the more natural ones.
var kinds = []kind{
	{"flite", "-lv", fliteVoices, fliteArgs},
	{"espeak-ng", "--voices", espeakVoices, espeakArgs},
}

func (e engine) args(voice string, speed float64) ([]string, error) {
	if speed == 0 {
		speed = 1
	}
	if speed < 0.25 || speed > 4 {
		return nil, ai.ErrSpeed
	}
	return e.kind.args(voice, speed)
}

// fliteVoices reads "Voices available: kal awb_time kal16 awb rms slt", the most natural
// first. awb_time can say nothing but times, and kal is kal16 in half the quality.
func fliteVoices(text []byte) []string {
	_, list, _ := strings.Cut(string(text), ":")
	have := strings.Fields(list)
	var names []string
	for _, name := range []string{"slt", "rms", "awb", "kal16"} {
		if slices.Contains(have, name) {
			names = append(names, name)
		}
	}
	return names
}

func fliteArgs(voice string, speed float64) ([]string, error) {
	stretch := strconv.FormatFloat(1/speed, 'f', 4, 64)
	return []string{"-voice", voice, "--setf", "duration_stretch=" + stretch, "-f", "/dev/stdin", "-o", outFile}, nil
}

// espeakVoices reads a table whose second column is the language, which names the voice.
func espeakVoices(text []byte) []string {
	var names []string
	for i, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 4 && !slices.Contains(names, fields[1]) {
			names = append(names, fields[1])
		}
	}
	return names
}

// espeakArgs knows that the engine speaks 175 words a minute and takes 80 to 450: what is
// outside it would speak at the bound.
func espeakArgs(voice string, speed float64) ([]string, error) {
	words := int(175*speed + 0.5)
	if words < 80 || words > 450 {
		return nil, ai.ErrSpeed
	}
	return []string{"-v", voice, "-s", strconv.Itoa(words), "--stdin", "-w", outFile}, nil
}

// voicesOn asks the engines in the folders of path for their voices.
func voicesOn(ctx context.Context, path string, l Limits) ([]voice, error) {
	var all []voice
	for _, k := range kinds {
		e := engine{path: lookUp(path, k.program), kind: k}
		if e.path == "" {
			continue
		}
		out, err := list(ctx, e, l)
		if err != nil {
			return nil, fmt.Errorf("asking %s for its voices: %w", k.program, err)
		}
		for _, name := range k.voices(out) {
			all = append(all, voice{name, e})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no speech engine is on the PATH: install flite or espeak-ng into the runtime's image")
	}
	return all, nil
}

func lookUp(path, program string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

func list(ctx context.Context, e engine, l Limits) ([]byte, error) {
	var out bytes.Buffer
	cmd := command(ctx, e.path, []string{e.kind.list})
	cmd.Stdout = &out
	err := supervise(cmd, l, nil)
	// flite lists its voices and says 1.
	if _, ok := errors.AsType[*exec.ExitError](err); ok && out.Len() > 0 {
		err = nil
	}
	return out.Bytes(), err
}
