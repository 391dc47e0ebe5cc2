package main

import (
	"context"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
)

// train trains a small model for two steps in the folder dir and returns how
// many steps were done and the training loss.
func train(ctx context.Context, engine *core.Engine, samples []*dataset.Sample, dir string) (steps int, loss float64, err error) {
	config, err := unet.NucleiConfig("quick")
	if err != nil {
		return 0, 0, err
	}
	config.Arch.Width, config.Arch.Depth, config.Augment.Size = 16, 2, 64
	config.Epochs, config.Steps, config.Batch = 1, 2, 2
	trainer := &unet.Trainer{Config: config, Engine: engine, Dir: dir}
	trainer.Progress = func(unet.Progress) { steps++ }
	val := len(samples) / 3
	if trainer.Train, err = unet.NewImages(config.Input, samples[val:]); err != nil {
		return 0, 0, err
	}
	if trainer.Val, err = unet.NewImages(config.Input, samples[:val]); err != nil {
		return 0, 0, err
	}
	result, err := trainer.Run(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer result.Model.Params.Free()
	return steps, result.History[0].Train.Loss, nil
}
