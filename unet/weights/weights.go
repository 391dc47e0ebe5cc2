// Package weights holds the trained models that are part of the program.
//
// They were made by this program from CC0 data and nothing else; the .md file
// beside each is its card, the .csv file the history of its training.
package weights

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"strings"

	"unet/unet"
)

//go:embed *.safetensors
var files embed.FS

// DefaultName is the model used where none is named.
const DefaultName = unet.Nuclei

// Names lists the built-in models.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // cannot happen: the folder is part of the program
	}
	var list []string
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return list
}

// Load returns a built-in model by name. The caller frees its Params.
func Load(name string) (*unet.Model, error) {
	b, err := files.ReadFile(name + ".safetensors")
	if err != nil {
		return nil, fmt.Errorf("there is no built-in model %q: %s", name, strings.Join(Names(), ", "))
	}
	return unet.ReadModel("built-in model "+name, bytes.NewReader(b), int64(len(b)))
}

// Default returns the model used where none is named.
func Default() (*unet.Model, error) { return Load(DefaultName) }
