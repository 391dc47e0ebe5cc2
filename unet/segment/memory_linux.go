package segment

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// SystemMemory returns the bytes of memory of the machine and those that are free,
// within what a container or `ulimit -v` allows this process; 0 where that is not
// known.
func SystemMemory() (total, free int64) {
	total, free = toldMemory(os.DirFS("/"))
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &limit) == nil && limit.Cur <= math.MaxInt64 {
		total, free = atMost(total, int64(limit.Cur)), atMost(free, int64(limit.Cur))
	}
	return total, free
}

// atMost is n where a limit is not less; 0 is not known.
func atMost(n, limit int64) int64 {
	if n == 0 {
		return limit
	}
	return min(n, limit)
}

// toldMemory is what the files of the system tell, whose root is root.
func toldMemory(root fs.FS) (total, free int64) {
	if b, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			var kb int64
			if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kb); n == 1 {
				total = kb << 10
			}
			if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
				free = kb << 10
			}
		}
	}
	for _, name := range memoryLimits(root) {
		if b, err := fs.ReadFile(root, name); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				total, free = atMost(total, n), atMost(free, n)
			}
		}
	}
	return total, free
}

// memoryLimits are the files that hold the limits of the control groups that the
// program is in: its own and all above it, of version 2 and of version 1.
func memoryLimits(root fs.FS) []string {
	const v2, v1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
	list := []string{v2 + "/memory.max", v1 + "/memory.limit_in_bytes"}
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return list
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := v2, "memory.max"
		if parts[1] != "" {
			dir, file = v1, "memory.limit_in_bytes"
			if !slices.Contains(strings.Split(parts[1], ","), "memory") {
				continue
			}
		}
		for p := path.Clean("/" + parts[2]); p != "/"; p = path.Dir(p) {
			list = append(list, path.Join(dir, p, file))
		}
	}
	return list
}
