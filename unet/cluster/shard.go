package cluster

import (
	"fmt"
	"strconv"
	"strings"
)

// ShardError says what is wrong with a shard.
type ShardError struct {
	Problem string
	Advice  string // what to do about it
	// Option is what to give instead, as programs name it; "" for none.
	Option string
}

func (e *ShardError) Error() string { return e.Problem }

// Hint says what to do about it.
func (e *ShardError) Hint() string { return e.Advice }

// Adjust names what to give instead.
func (e *ShardError) Adjust() string { return e.Option }

// scheduler is how a scheduler tells a task its place in an array.
type scheduler struct {
	name  string
	index string // variable that holds the number of the task
	none  string // its value outside of arrays, where it is set there
	// Numbers of the array from which to which, and in what steps.
	first, last, step string
	count             string // how many tasks there are
	base              int    // the first number, where no variable tells
}

// schedulers are asked in this order. Kubernetes says nothing of how many
// completions a job has: jobs that unet writes do, in a variable of their own.
var schedulers = []scheduler{
	{name: "Slurm", index: "SLURM_ARRAY_TASK_ID", first: "SLURM_ARRAY_TASK_MIN", last: "SLURM_ARRAY_TASK_MAX", step: "SLURM_ARRAY_TASK_STEP", count: "SLURM_ARRAY_TASK_COUNT", base: 1},
	{name: "Kubernetes", index: "JOB_COMPLETION_INDEX", count: "JOB_COMPLETIONS", base: 0},
	{name: "LSF", index: "LSB_JOBINDEX", none: "0", last: "LSB_JOBINDEX_END", step: "LSB_JOBINDEX_STEP", base: 1},
	{name: "Grid Engine", index: "SGE_TASK_ID", none: "undefined", first: "SGE_TASK_FIRST", last: "SGE_TASK_LAST", step: "SGE_TASK_STEPSIZE", base: 1},
	{name: "PBS", index: "PBS_ARRAY_INDEX", base: 1},
	{name: "Torque", index: "PBS_ARRAYID", base: 1},
}

// Shard reads which part, from 1, of how many is meant: I/N, or auto, which asks
// the scheduler's variables, or auto/N, where the scheduler does not say how many
// tasks an array has or runs only some of them again; it is then numbered from 1
// to N (in Kubernetes from 0).
func Shard(text string, getenv func(string) string) (index, of int, err error) {
	part, count, counted := strings.Cut(text, "/")
	if counted {
		if of, err = strconv.Atoi(count); err != nil || of < 1 {
			return 0, 0, wrongShard(text)
		}
	}
	switch {
	case part == "auto":
		index, of, err = auto(of, getenv)
	case !counted:
		return 0, 0, wrongShard(text)
	default:
		if index, err = strconv.Atoi(part); err != nil {
			return 0, 0, wrongShard(text)
		}
	}
	if err == nil && (index < 1 || index > of) {
		err = &ShardError{Problem: fmt.Sprintf("%s: there is no part %d of %d", text, index, of), Advice: "the parts are numbered from 1"}
	}
	return index, of, err
}

func wrongShard(text string) error {
	return &ShardError{Problem: fmt.Sprintf("%q: give I/N, such as 3/20, or auto or auto/20 in an array job", text)}
}

// auto asks the schedulers; of is how many parts there are, if it is not 0.
func auto(of int, getenv func(string) string) (int, int, error) {
	for _, s := range schedulers {
		value := getenv(s.index)
		if value == "" || value == s.none {
			continue
		}
		number, err := strconv.Atoi(value)
		if err != nil {
			return 0, 0, &ShardError{Problem: fmt.Sprintf("auto: %s=%q is not a number", s.index, value), Advice: "say which part it is", Option: "shard I/N"}
		}
		if of > 0 {
			return number - s.base + 1, of, nil
		}
		return s.place(number, getenv)
	}
	return 0, 0, &ShardError{Problem: "auto: no scheduler says which part this is", Advice: "it is for array jobs of Slurm, Kubernetes, LSF, Grid Engine and PBS; elsewhere say which part it is", Option: "shard I/N"}
}

// place finds the place of a task in a whole array.
func (s scheduler) place(number int, getenv func(string) string) (index, of int, err error) {
	value := func(name string, otherwise int) int {
		if v, err := strconv.Atoi(getenv(name)); err == nil && name != "" {
			return v
		}
		return otherwise
	}
	count := value(s.count, 0)
	first, step := value(s.first, s.base), max(1, value(s.step, 1))
	last := value(s.last, first+(count-1)*step)
	if last < first || (number-first)%step != 0 {
		return 0, 0, &ShardError{Problem: fmt.Sprintf("auto: %s does not say how many tasks the array has", s.name), Advice: "say how many there are, and number the array from 1 to N", Option: "shard auto/N"}
	}
	of = (last-first)/step + 1
	if count > 0 && count != of {
		return 0, 0, &ShardError{Problem: fmt.Sprintf("auto: the array has %d tasks out of %d to %d: a part of another array", count, first, last), Advice: "to run some parts again, say how many there are in all, and number the array from 1 to N", Option: "shard auto/N"}
	}
	return (number-first)/step + 1, of, nil
}
