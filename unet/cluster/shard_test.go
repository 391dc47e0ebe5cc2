package cluster

import "testing"

// TestShard reads the variables that schedulers set, as their manuals have them.
func TestShard(t *testing.T) {
	type env map[string]string
	slurm := func(id, first, last, step, count string) env {
		return env{"SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last, "SLURM_ARRAY_TASK_STEP": step, "SLURM_ARRAY_TASK_COUNT": count}
	}
	for _, c := range []struct {
		text      string
		env       env
		index, of int // 0: an error
	}{
		{"3/7", nil, 3, 7},
		{"1/1", nil, 1, 1},
		{"0/7", nil, 0, 0},
		{"8/7", nil, 0, 0},
		{"3", nil, 0, 0},
		{"a/7", nil, 0, 0},
		{"3/b", nil, 0, 0},
		{"3/0", nil, 0, 0},
		{"/", nil, 0, 0},
		{"auto", nil, 0, 0},
		{"auto/7", nil, 0, 0},
		{"auto", slurm("0", "0", "5", "1", "6"), 1, 6},
		{"auto", slurm("5", "0", "5", "1", "6"), 6, 6},
		{"auto", slurm("7", "1", "9", "2", "5"), 4, 5},
		{"auto", env{"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "6"}, 3, 6},
		{"auto", slurm("3", "3", "5", "1", "2"), 0, 0}, // --array=3,5: two tasks again of an array of six
		{"auto/6", slurm("3", "3", "5", "1", "2"), 3, 6},
		{"auto/6", slurm("0", "0", "5", "1", "6"), 0, 0},
		{"auto", slurm("x", "0", "5", "1", "6"), 0, 0},
		{"auto", env{"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, 1, 4},
		{"auto/4", env{"JOB_COMPLETION_INDEX": "3"}, 4, 4},
		{"auto", env{"JOB_COMPLETION_INDEX": "3"}, 0, 0},
		{"auto", env{"LSB_JOBINDEX": "2", "LSB_JOBINDEX_END": "8", "LSB_JOBINDEX_STEP": "1"}, 2, 8},
		{"auto", env{"LSB_JOBINDEX": "0", "LSB_JOBINDEX_END": "0"}, 0, 0}, // no array
		{"auto", env{"SGE_TASK_ID": "4", "SGE_TASK_FIRST": "2", "SGE_TASK_LAST": "8", "SGE_TASK_STEPSIZE": "2"}, 2, 4},
		{"auto", env{"SGE_TASK_ID": "undefined", "SGE_TASK_FIRST": "undefined"}, 0, 0},
		{"auto", env{"PBS_ARRAY_INDEX": "4"}, 0, 0},
		{"auto/9", env{"PBS_ARRAY_INDEX": "4"}, 4, 9},
		{"auto/9", env{"PBS_ARRAYID": "9"}, 9, 9},
	} {
		index, of, err := Shard(c.text, func(name string) string { return c.env[name] })
		if (err != nil) != (c.of == 0) || err == nil && (index != c.index || of != c.of) {
			t.Errorf("%s with %v: %d of %d, %v", c.text, c.env, index, of, err)
		}
	}
}
