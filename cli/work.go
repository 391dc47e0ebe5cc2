package cli

import (
	"unet/core"
	"unet/unet"
	"unet/unet/dataset"

	"github.com/urfave/cli/v2"
)

// work is what commands on a prepared set work with: the set, an engine and,
// for most, a model.
type work struct {
	set    *dataset.Set
	model  *unet.Model // nil: none
	engine *core.Engine
}

// openWork opens the set in dir, the model of a name as modelFor has it, if one
// is given, and an engine. Close it where err is nil.
func openWork(c *cli.Context, dir string, names ...string) (w work, err error) {
	if w.set, err = dataset.Open(dir); err != nil {
		return w, err
	}
	for _, name := range names {
		if w.model, err = modelFor(name); err != nil {
			return w, err
		}
	}
	if w.engine, err = newEngine(c); err != nil {
		w.close()
	}
	return w, err
}

func (w work) close() {
	if w.engine != nil {
		w.engine.Close()
	}
	if w.model != nil {
		w.model.Params.Free()
	}
}
