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
	for _, args := range [][]string{{"train", "set"}, {"sweep", "set", "--vary", "depth=1,2"}} {
		_, stderr := mustRun(t, exitFailure, append(args, "--out", t.TempDir())...)
		if !strings.Contains(stderr, "built without MPI") {
			t.Errorf("%s: output %q", args[0], stderr)
		}
	}
}
