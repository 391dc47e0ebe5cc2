package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lookEvery is how often Wait looks for runs that have ended.
const lookEvery = 10 * time.Second

// Wait returns when each of some folders holds a run that has ended, in whatever
// process.
func Wait(ctx context.Context, folders []string, observer Observer) error {
	return wait(ctx, len(folders), func(i int) bool { return ended(folders[i]) }, observer)
}

// wait returns when so many runs are over.
func wait(ctx context.Context, runs int, over func(int) bool, observer Observer) error {
	for told := false; ; told = true {
		missing := 0
		for i := range runs {
			if !over(i) {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if !told {
			observer.Note(fmt.Sprintf("waiting: %d of %d runs have not ended", missing, runs))
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ended reports whether the run in a folder is over and has its result.
func ended(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, ModelFile)); err != nil {
		return false
	}
	unlock, err := lock(filepath.Join(dir, lockFile)) // its process may be about to end
	if err != nil {
		return false
	}
	unlock()
	return true
}
