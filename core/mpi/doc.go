// Package mpi lets the processes that mpirun started exchange bytes. It needs Open MPI
// and the build tag mpi; a program built without it has no peers.
package mpi

import (
	"os"
	"strconv"

	"unet/core"
)

// started returns the number of this process and how many Open MPI's mpirun started; 0
// of 1 without it.
func started() (rank, size int) {
	size, err := strconv.Atoi(os.Getenv("OMPI_COMM_WORLD_SIZE"))
	if err != nil {
		return 0, 1
	}
	rank, _ = strconv.Atoi(os.Getenv("OMPI_COMM_WORLD_RANK"))
	return rank, size
}

// startError says why processes do not train together.
type startError struct{ problem, advice string }

func (e *startError) Error() string { return e.problem }

// Hint says what to do.
func (e *startError) Hint() string { return e.advice }

// tellOnce is an error that every process meets, for process 0 to tell.
func tellOnce(problem, advice string) error {
	if rank, _ := started(); rank > 0 {
		return core.ErrElsewhere
	}
	return &startError{problem, advice}
}
