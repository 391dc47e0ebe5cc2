package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"unet/unet/dataset"
)

// Prepare a set from an archive, here a synthetic one, and read it back.
func Example() {
	ctx := context.Background()
	var archive bytes.Buffer
	if err := dataset.Generate(ctx, &archive, dataset.Synthesis{Count: 6, Size: 64, Seed: 1}); err != nil {
		log.Fatal(err)
	}
	src, err := dataset.NewSource("synthetic.zip", bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()

	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "set")
	if _, err := dataset.Prepare(ctx, src, out, dataset.Options{Size: 32, Seed: 1}); err != nil {
		log.Fatal(err)
	}

	set, err := dataset.Open(out)
	if err != nil {
		log.Fatal(err)
	}
	for i := range set.Entries {
		s, err := set.Load(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(s.ID, s.Image.W, s.Image.H, s.Image.C)
	}
	// Output:
	// fluorescence-large-0002a 32 32 1
	// fluorescence-large-0002b 32 32 1
	// fluorescence-small-0000a 32 32 1
	// fluorescence-small-0003a 32 32 1
	// gray-tissue-0004a 32 32 1
	// histology-purple-0001a 32 32 3
}
