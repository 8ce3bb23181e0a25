package main

import (
	"testing"
	"testing/fstest"
)

func TestTheContainersMemoryLimit(t *testing.T) {
	t.Parallel()
	file := func(name, text string) fstest.MapFS {
		return fstest.MapFS{name: {Data: []byte(text)}}
	}
	for name, tc := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"cgroup v2":            {file("memory.max", "134217728\n"), 134217728},
		"cgroup v2, unlimited": {file("memory.max", "max\n"), 0},
		"cgroup v1":            {file("memory/memory.limit_in_bytes", "67108864\n"), 67108864},
		"cgroup v1, unlimited": {file("memory/memory.limit_in_bytes", "9223372036854771712\n"), 0},
		"nonsense":             {file("memory.max", "-5\n"), 0},
		"no cgroup":            {fstest.MapFS{}, 0},
	} {
		if got := cgroupLimit(tc.root); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}
