package train_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/train"
)

// Trains a small model on synthetic images and segments one with it.
func Example() {
	engine, err := core.NewEngine("", 0) // the best instruction set, all processors
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	samples, err := dataset.Synthesise(dataset.Synthesis{Count: 6, Size: 64, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	config, err := train.NucleiConfig("quick")
	if err != nil {
		log.Fatal(err)
	}
	config.Arch.Width, config.Arch.Depth, config.Augment.Size = 16, 2, 64
	config.Epochs, config.Steps, config.Batch, config.ValidateEvery = 2, 3, 2, 2
	trainer := &train.Trainer{Config: config, Engine: engine, Dir: dir}
	if trainer.Train, err = train.NewImages(config.Input, samples[:4]); err != nil {
		log.Fatal(err)
	}
	if trainer.Val, err = train.NewImages(config.Input, samples[4:]); err != nil {
		log.Fatal(err)
	}
	result, err := trainer.Run(context.Background()) // cancelled, it can be resumed
	if err != nil {
		log.Fatal(err)
	}
	result.Model.Params.Free()
	fmt.Println("trained for", len(result.History), "epochs")

	model, err := unet.LoadModel(filepath.Join(dir, train.ModelFile))
	if err != nil {
		log.Fatal(err)
	}
	defer model.Params.Free()
	predictor := unet.NewPredictor(engine, model)
	defer predictor.Close()
	maps, err := predictor.Maps(context.Background(), samples[4].Image)
	if err != nil {
		log.Fatal(err)
	}
	labels := model.Card.Separate(maps)
	fmt.Printf("a label image of %d x %d pixels\n", labels.W, labels.H)
	// Output:
	// trained for 2 epochs
	// a label image of 64 x 64 pixels
}
