package dataset

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// parallel calls do for 0..n-1, on all cores, and returns the first error, or
// the context's; it has no goroutine left when it returns.
func parallel(ctx context.Context, n int, do func(i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := 0; i < n && ctx.Err() == nil; i++ {
		group.Go(func() error { return do(i) })
	}
	cause := context.Cause(ctx) // Wait ends ctx
	if err := group.Wait(); err != nil {
		return err
	}
	return cause
}
