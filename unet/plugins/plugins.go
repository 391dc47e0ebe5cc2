package plugins

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"unet/unet"
	"unet/unet/imageio/atomicfile"
)

//go:embed all:files
var files embed.FS

// Plugin is one integration.
type Plugin struct {
	Name string `json:"name"` // name of the plugin, for install
	For  string `json:"for"`  // the program or programs it works in
	Does string `json:"does"` // what it adds there
	Use  string `json:"use"`  // what to do with its files
}

var list = []Plugin{
	{"bilayers", "BILAYERS, BIOMERO (OMERO)", "algorithm description", "give config.yaml to BILAYERS or BIOMERO, with an image made by the plugin container"},
	{"cellprofiler", "CellProfiler 4", "module RunUNet", "put rununet.py into CellProfiler's plugins folder"},
	{"container", "Docker, Apptainer", "image recipe", "put the program unet beside it, then docker build -t unet . or apptainer build unet.sif unet.def"},
	{"galaxy", "Galaxy", "tool", "add unet.xml to Galaxy's tool configuration; the program must be on the path of its jobs"},
	{"imagej", "Fiji, ImageJ", "menu entry: active image to ROI Manager and table", "put UNet_Nuclei.ijm into the plugins folder and restart; then Plugins > UNet Nuclei"},
	{"napari", "napari", "widget and reader", "pip install the folder into napari's environment; then Plugins > Nuclei by unet"},
	{"nextflow", "Nextflow (nf-core style)", "process UNET", "put the folder into modules/local/unet and include { UNET } from it"},
	{"qupath", "QuPath", "script: annotations or whole image to detections", "drag unet_nuclei.groovy onto QuPath's window and run it"},
	{"snakemake", "Snakemake", "rule unet", `include: "unet.smk" in the Snakefile`},
}

// List returns all plugins in the order of their names.
func List() []Plugin { return list }

// Find returns a plugin by name.
func Find(name string) (Plugin, bool) {
	for _, p := range list {
		if p.Name == name {
			return p, true
		}
	}
	return Plugin{}, false
}

// placeholder stands in the files for the version.
const placeholder = "@VERSION@"

// Install writes the files of a plugin into dir, which it makes if need be, and
// returns their names there. Files that are there already are not written over
// unless they are the same; then nothing is written.
func (p Plugin) Install(dir string) ([]string, error) {
	root := path.Join("files", p.Name)
	content := map[string][]byte{}
	var names []string
	err := fs.WalkDir(files, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name[len(root)+1:]))
		b = bytes.ReplaceAll(b, []byte(placeholder), []byte(unet.Version))
		old, err := os.ReadFile(to)
		if err == nil && !bytes.Equal(old, b) {
			return &ExistsError{to}
		}
		content[to] = b
		names = append(names, to)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := atomicfile.WriteFile(name, func(w io.Writer) error { _, err := w.Write(content[name]); return err }); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// ExistsError says that a file is there that would be lost.
type ExistsError struct{ Name string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s is there already, and is not the same", e.Name)
}

// Hint says what to do about it.
func (e *ExistsError) Hint() string { return "move it away, or choose another folder" }

// Adjust names the option that chooses the folder.
func (e *ExistsError) Adjust() string { return "into" }
