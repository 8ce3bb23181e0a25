package memory

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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

func TestWhenGarbageIsCollected(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		looked uint64
		want   int
	}{
		{0, 500},          // 20 MiB beside Go's least of 4
		{4 << 20, 500},    // the same
		{10 << 20, 200},   // 20 MiB beside 10
		{40 << 20, 50},    // 20 MiB beside 40
		{400 << 20, 50},   // 200 MiB beside 400
		{1 << 62, 50},     // no overflow
		{12<<20 + 1, 166}, // rounded down
	} {
		if got := collectAt(tc.looked); got != tc.want {
			t.Errorf("after %d bytes: GOGC %d, want %d", tc.looked, got, tc.want)
		}
	}
}

// TestTheCollectorIsPaced makes garbage with little and with much alive.
func TestTheCollectorIsPaced(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	Pace()
	var sink []byte
	collections := func(live []byte, least, most int) uint32 {
		// What a collection found is heard of a moment after it.
		for try := 0; percentNow() < least || percentNow() > most; try++ {
			if try == 1000 {
				t.Fatalf("GOGC is %d, want %d to %d", percentNow(), least, most)
			}
			runtime.GC()
		}
		var begin, end runtime.MemStats
		runtime.ReadMemStats(&begin)
		for range 400 << 10 {
			sink = make([]byte, 1<<10)
		}
		runtime.ReadMemStats(&end)
		runtime.KeepAlive(live)
		runtime.KeepAlive(sink)
		return end.NumGC - begin.NumGC
	}
	// 400 MiB in portions of 20 or more.
	if n := collections(nil, 110, 500); n > 25 {
		t.Errorf("%d collections of 400 MiB of garbage with little alive, want 20", n)
	}
	// Portions of half of 100 MiB; more on a busy machine, where a collection takes long.
	if n := collections(make([]byte, 100<<20), 40, 60); n > 12 {
		t.Errorf("%d collections of 400 MiB of garbage with 100 MiB alive, want 8", n)
	}
	// And back.
	collections(nil, 110, 500)
}

func percentNow() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}
