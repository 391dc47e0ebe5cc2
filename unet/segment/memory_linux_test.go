package segment

import (
	"testing"
	"testing/fstest"
)

// TestToldMemory: the least of what the machine and the container allow.
func TestToldMemory(t *testing.T) {
	const meminfo, v2, v1 = "proc/meminfo", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no system that tells", nil, 0},
		{"a machine", map[string]string{meminfo: "MemTotal: 9000000 kB\nMemAvailable: 1048576 kB\n"}, 1 << 30},
		{"a container of version 2", map[string]string{meminfo: "MemAvailable: 1048576 kB\n", v2: "536870912\n"}, 512 << 20},
		{"one of version 1", map[string]string{meminfo: "MemAvailable: 1048576 kB\n", v1: "268435456\n"}, 256 << 20},
		{"one without a limit", map[string]string{meminfo: "MemAvailable: 1048576 kB\n", v2: "max\n"}, 1 << 30},
		{"a group above the own, of version 2", map[string]string{"proc/self/cgroup": "0::/slurm/job_1/step\n", "sys/fs/cgroup/slurm/job_1/memory.max": "1000\n", "sys/fs/cgroup/slurm/job_1/step/memory.max": "max\n"}, 1000},
		{"a group above the own, of version 1", map[string]string{"proc/self/cgroup": "3:cpu,memory:/a/b\n2:pids:/x\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2000\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1\n"}, 2000},
		{"one larger than the machine", map[string]string{meminfo: "MemAvailable: 1048576 kB\n", v1: "9223372036854771712\n"}, 1 << 30},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, got := toldMemory(root); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
