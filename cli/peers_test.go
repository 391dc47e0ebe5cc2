//go:build !mpi

package cli

import (
	"strings"
	"testing"
)

// TestWithoutMPI: processes that mpirun started do not train the same thing side by
// side where the program cannot join them.
func TestWithoutMPI(t *testing.T) {
	t.Setenv("OMPI_COMM_WORLD_SIZE", "2")
	_, stderr := mustRun(t, exitFailure, "train", "set", "--out", t.TempDir())
	if !strings.Contains(stderr, "built without MPI") {
		t.Errorf("output %q", stderr)
	}
}
