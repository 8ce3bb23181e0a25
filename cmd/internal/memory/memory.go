// Package memory keeps a process within what its container may have: the garbage collector
// is told of the limit, and runs as often as what is alive makes worth while. What the
// environment says in GOGC and GOMEMLIMIT goes first.
package memory

import (
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// garbage is how much may lie about, at least, before the collector runs. At Go's
// default it runs at every 4 MiB for a live heap that is hardly larger, some twenty
// times a second under load.
const garbage = 20 << 20

// Pace has the collector run when garbage has come up to its bound, or to half
// of what it has to look through, if that is more: with a thousand streams open, Go's
// default would let as much again lie about. It adapts after each collection, unless the
// environment says otherwise. The memory limit goes first: near it the collector runs
// whatever this says.
func Pace() {
	if os.Getenv("GOGC") != "" {
		return
	}
	percent := collectAt(0)
	debug.SetGCPercent(percent)
	// A finalizer is the one way to hear of a collection.
	var collected func(*[64]byte)
	collected = func(sentinel *[64]byte) {
		// Setting it stops the program for a moment: not for a trifle.
		if p := collectAt(lookedThrough()); p < percent-percent/8 || p > percent+percent/8 {
			percent = p
			debug.SetGCPercent(p)
		}
		runtime.SetFinalizer(sentinel, collected)
	}
	runtime.SetFinalizer(new([64]byte), collected)
}

// collectAt is the GOGC for a collection that looked through so many bytes. Go itself
// takes less than 4 MiB for 4 MiB.
func collectAt(bytes uint64) int {
	bytes = max(bytes, 4<<20)
	return int(max(100*garbage/bytes, 50))
}

// lookedThrough is what the last collection found alive, and where it began.
func lookedThrough() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return sum
}

// Limit lets the garbage collector know the container's limit, unless the
// environment says otherwise.
func Limit() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := cgroupLimit(os.DirFS("/sys/fs/cgroup")); limit > 0 {
		// A tenth is left for what the collector doesn't see: stacks of the kernel,
		// page cache that can't be dropped, and its own lateness.
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// cgroupLimit is the container's memory limit in bytes, from cgroup v2 or v1 as it is
// mounted in a container; 0 if there is none.
func cgroupLimit(root fs.FS) int64 {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		b, err := fs.ReadFile(root, name)
		if err != nil {
			continue
		}
		// "max" in v2 and a number near the largest in v1 mean no limit.
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && n > 0 && n < math.MaxInt64/2 {
			return n
		}
	}
	return 0
}
