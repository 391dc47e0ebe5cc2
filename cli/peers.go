package cli

import (
	"errors"
	"fmt"
	"time"

	"unet/core"
	"unet/core/mpi"

	"github.com/urfave/cli/v2"
)

// together does work in each of the processes that mpirun started, if it did. Where
// several fail, one tells why.
func together(c *cli.Context, work func(core.Peers) error) error {
	peers, end, err := mpi.Start(c.Context)
	if err == nil {
		err = work(peers)
	}
	switch {
	case err == nil:
		end()
		return nil
	case errors.Is(err, core.ErrElsewhere):
		select { // the end of this process must not come before the other's message
		case <-c.Context.Done():
		case <-time.After(10 * time.Second):
		}
		return err
	case peers == nil:
		return err
	case errors.Is(err, errInterrupted) && peers.Rank() > 0:
		// At the end of any process mpirun kills the others, and the first saves its step:
		// it has the second that mpirun leaves it.
		time.Sleep(2 * time.Second)
		return core.ErrElsewhere
	case peers.Rank() > 0:
		return fmt.Errorf("process %d: %w", peers.Rank(), err)
	}
	return err
}

// alone refuses to do, in processes that mpirun started, what they cannot share.
func alone(peers core.Peers, what, advice string) error {
	if peers == nil {
		return nil
	}
	return withHint(usagef("the processes of mpirun train one network: not %s", what), advice)
}
