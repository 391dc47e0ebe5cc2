package core

import "testing"

// TestMakespan: one thread takes the sum of all costs, two share the tasks of operations
// beside each other, and functions and barriers wait for all.
func TestMakespan(t *testing.T) {
	p := &Program{steps: []*step{
		{phase: Forward, ops: []*operation{{name: "a", tasks: 8}}},
		{phase: Forward, fn: func() {}, name: "f"},
		{phase: Forward, ops: []*operation{{name: "b", tasks: 1}, {name: "c", tasks: 2}}},
		{phase: Backward, ops: []*operation{{name: "d", tasks: 1}}},
	}}
	cost := func(l Load) float64 { return map[string]float64{"a": 16, "f": 3, "b": 7, "c": 5, "d": 100}[l.Name] }
	const barrier = 0.5
	for threads, want := range map[int]float64{
		1: 16 + barrier + 3 + 7 + 5 + barrier,
		2: 16/2 + barrier + 3 + 7 + barrier, // b on one thread, c on the other
	} {
		if got := p.Makespan(threads, cost, barrier, Forward); got != want {
			t.Errorf("%d threads: %v, want %v", threads, got, want)
		}
	}
}
