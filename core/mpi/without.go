//go:build !mpi || !cgo

package mpi

import (
	"context"

	"unet/core"
)

// Start returns no peers, and fails where mpirun started several processes.
func Start(context.Context) (peers core.Peers, end func(), err error) {
	if _, size := started(); size > 1 {
		return nil, nil, tellOnce("mpirun started several processes, and this program was built without MPI",
			"build it with -tags mpi, or start it without mpirun")
	}
	return nil, func() {}, nil
}
