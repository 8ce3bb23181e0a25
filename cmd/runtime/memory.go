package main

import (
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// headroom makes the garbage collector wait for this much more garbage before it
// runs: at its default it would run at every 4 MiB, some twenty times a second under
// load, for a live heap that is hardly larger. It is never touched, so it costs address
// space and no memory; what it costs is garbage that lies about a little longer.
const headroom = 16 << 20

// reserveHeadroom gives what must be kept alive while the process serves.
func reserveHeadroom() []byte { return make([]byte, headroom) }

// limitMemory lets the garbage collector know the container's limit, unless the
// environment says otherwise.
func limitMemory() {
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
