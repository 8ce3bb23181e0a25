package localspeech

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// outFile is the engine's third file. Engines go back in what they write, so that it
// can't be a pipe.
const outFile = "/dev/fd/3"

// command is a process without anything of ours.
func command(ctx context.Context, path string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // G204: an engine found on the PATH; voices are of its own list, and the text is its input
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return kill(cmd.Process) }
	cmd.WaitDelay = time.Second
	return cmd
}

// supervise starts cmd, bounds it, gives it its text and waits for it.
func supervise(cmd *exec.Cmd, l Limits, text []byte) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("opening the engine's input: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		// A child is told of its parent's death by that of the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			ended <- fmt.Errorf("starting the engine: %w", err)
			return
		}
		if err := confine(cmd.Process.Pid, l); err != nil {
			_ = kill(cmd.Process)
			ended <- errors.Join(fmt.Errorf("bounding the engine: %w", err), cmd.Wait())
			return
		}
		_, _ = in.Write(text) // an engine that doesn't read says why by its status
		_ = in.Close()
		ended <- cmd.Wait()
	}()
	return <-ended
}

// speak gives the WAV that an engine makes of text. Its header's lengths are set right:
// an engine that streams doesn't know them.
func speak(ctx context.Context, l Limits, path string, args []string, text string) (io.ReadCloser, error) {
	out, err := scratch()
	if err != nil {
		return nil, fmt.Errorf("making a file for the speech: %w", err)
	}
	cmd := command(ctx, path, args)
	cmd.ExtraFiles = []*os.File{out}
	if err := supervise(cmd, l, []byte(text)); err != nil {
		return nil, errors.Join(fmt.Errorf("speaking: %w", err), out.Close())
	}
	sound, err := mend(out)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return sound, nil
}

// canonical is the length of the header that both engines write.
const canonical = 44

func mend(out *os.File) (io.ReadCloser, error) {
	info, err := out.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the speech: %w", err)
	}
	var head [canonical]byte
	if _, err := out.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("reading the speech: %w", err)
	}
	if !bytes.Equal(head[:4], []byte("RIFF")) || !bytes.Equal(head[8:16], []byte("WAVEfmt ")) || !bytes.Equal(head[36:40], []byte("data")) {
		return nil, errors.New("the engine made no WAV")
	}
	size := uint32(min(uint64(max(info.Size(), 0)), 1<<31))
	binary.LittleEndian.PutUint32(head[4:], size-8)
	binary.LittleEndian.PutUint32(head[40:], size-canonical)
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head[:]), io.NewSectionReader(out, canonical, info.Size()-canonical)), out}, nil
}
