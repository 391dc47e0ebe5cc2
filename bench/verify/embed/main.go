// Command embed uses unet as an application would, from a module of its own: it
// segments an image, serves the same over HTTP, and trains two steps. It checks
// that the answer over HTTP is that of the library.
//
//	cd bench/verify/embed && go run . [IMAGE]
//
// Without IMAGE it draws one.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"unet/core"
	"unet/unet/dataset"
	"unet/unet/imageio"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	dir, err := os.MkdirTemp("", "embed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	samples, err := dataset.Synthesise(dataset.Synthesis{Count: 6, Size: 128, Seed: 1})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "nuclei.tif")
	if len(args) > 0 {
		file = args[0]
	} else if err := imageio.WriteMaps(file, samples[0].Image); err != nil {
		return err
	}

	core.SpareProcs()                    // once in a program, for speed
	engine, err := core.NewEngine("", 0) // the best instruction set, all processors
	if err != nil {
		return err
	}
	defer engine.Close()
	segmenter, err := newSegmenter(engine)
	if err != nil {
		return err
	}
	defer segmenter.Close()

	img, err := imageio.Read(file)
	if err != nil {
		return err
	}
	nuclei, err := segmenter.Nuclei(ctx, img)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d nuclei\n", filepath.Base(file), len(nuclei))

	server := httptest.NewServer(http.Handler(segmenter))
	defer server.Close()
	served, err := ask(ctx, server.URL, file)
	if err != nil {
		return err
	}
	fmt.Printf("over HTTP: %d nuclei\n", len(served))
	if len(nuclei) == 0 || len(served) != len(nuclei) {
		return errors.New("the answers differ, or are empty")
	}

	loss, err := trainSteps(ctx, engine, samples, filepath.Join(dir, "run"))
	if err != nil {
		return err
	}
	fmt.Printf("trained two steps: loss %.3f\n", loss)
	return nil
}
