package main

import (
	"context"
	"log"

	"unet/core"
	"unet/unet/dataset"
	"unet/unet/train"
)

// listener prints what goes wrong in a training without ending it.
type listener struct{}

func (listener) Started(train.Plan)           {}
func (listener) Progress(train.Progress)      {}
func (listener) EpochDone([]train.Epoch, int) {}
func (listener) Note(string)                  {}
func (listener) Warn(text string)             { log.Print(text) }

// trainSteps trains a small model for two steps in the folder dir and returns
// the training loss.
func trainSteps(ctx context.Context, engine *core.Engine, samples []*dataset.Sample, dir string) (float64, error) {
	config, err := train.NucleiConfig("quick")
	if err != nil {
		return 0, err
	}
	config.Arch.Width, config.Arch.Depth, config.Augment.Size = 16, 2, 64
	config.Epochs, config.Steps, config.Batch = 1, 2, 2
	trainer := &train.Trainer{Config: config, Engine: engine, Dir: dir, Observer: listener{}}
	val := len(samples) / 3
	if trainer.Train, err = train.NewImages(config.Input, samples[val:]); err != nil {
		return 0, err
	}
	if trainer.Val, err = train.NewImages(config.Input, samples[:val]); err != nil {
		return 0, err
	}
	result, err := trainer.Run(ctx)
	if err != nil {
		return 0, err
	}
	defer result.Model.Params.Free()
	return result.History[0].Train.Loss, nil
}
