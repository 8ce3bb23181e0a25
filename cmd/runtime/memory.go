package main

import (
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

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
