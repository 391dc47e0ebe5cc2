// Command weights makes a trained model a built-in one: it writes its weights,
// rounded to half precision, to unet/weights/NAME.safetensors.
//
//	go run ./bench/release/weights RUN/model.safetensors nuclei
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"unet/unet"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "weights: give a model file and a name")
		os.Exit(2)
	}
	if err := embed(os.Args[1], filepath.Join("unet", "weights", os.Args[2]+".safetensors")); err != nil {
		fmt.Fprintln(os.Stderr, "weights:", err)
		os.Exit(1)
	}
}

func embed(from, to string) error {
	m, err := unet.LoadModel(from)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if err := m.Save(to, true); err != nil {
		return err
	}
	st, err := os.Stat(to)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, of %s (SHA-256 %s)\n", to, st.Size(), from, m.SHA256)
	return nil
}
