package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unet/unet/formats"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
	"unet/unet/segment"
)

// each hands the images of all inputs on, one after the other.
func (v *conversion) each(put func(labelled) error) error {
	many := v.folder || v.format == segment.COCO || v.format == segment.RLE
	for _, in := range v.ins {
		if err := v.read(in, func(l labelled) error {
			v.images++
			if v.images > 1 && !many {
				return withHint(usagef("%s holds one image, the input several", v.out), "choose one with --name, or give a folder")
			}
			seen := map[uint32]bool{}
			for _, id := range l.labels.ID {
				if id != 0 {
					seen[id] = true
				}
			}
			v.nuclei += len(seen)
			return put(l)
		}); err != nil {
			return err
		}
	}
	if v.images == 0 {
		return inputf("check --name", "there is no image in %s", strings.Join(v.ins, ", "))
	}
	return nil
}

// toFolder writes a file for each image.
func (v *conversion) toFolder() error {
	if err := os.MkdirAll(v.out, 0o755); err != nil {
		return err
	}
	into, err := owned.Open(v.out, owned.Options{Force: v.force, Inputs: v.kept})
	if err != nil {
		return err
	}
	ext := map[string]string{segment.ROI: ".rois.zip", segment.GeoJSON: ".geojson", segment.Labels: ".tif"}[v.format]
	taken := map[string]bool{}
	err = v.each(func(l labelled) error {
		name, err := v.fileName(l.name, taken)
		if err != nil {
			return err
		}
		name += ext
		if err := into.Claim(name); err != nil {
			return err
		}
		file := filepath.Join(v.out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if v.format == segment.Labels {
			return l.writeTIFF(file)
		}
		return atomicfile.WriteFile(file, func(w io.Writer) error {
			return formats.WriteAll(segment.NewWriter(v.format, w), l.source(), l.nuclei())
		})
	})
	return errors.Join(err, into.Close())
}

// fileName is the name, without extension, of the file for an image: its own, in
// which images that differ by their extensions alone keep them, numbered where
// that is taken.
func (v *conversion) fileName(image string, taken map[string]bool) (string, error) {
	name := strings.Trim(filepath.ToSlash(segment.Stem(image)), "/")
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", inputf("choose an image with --name, and give a file to write", "image name %q would leave the folder %s", image, v.out)
	}
	if taken[strings.ToLower(name)] {
		name = strings.Trim(filepath.ToSlash(image), "/")
	}
	for base, i := name, 2; taken[strings.ToLower(name)]; i++ {
		name = fmt.Sprintf("%s~%d", base, i)
	}
	taken[strings.ToLower(name)] = true
	return name, nil
}

// toLabels writes the label image of one image, when it is known to be the only
// one.
func (v *conversion) toLabels() error {
	var only labelled
	if err := v.each(func(l labelled) error {
		only = l
		return nil
	}); err != nil {
		return err
	}
	return only.writeTIFF(v.out)
}

// toFile writes the nuclei of all images into one file.
func (v *conversion) toFile() error {
	var input error // which is not one of writing
	seen := map[string]bool{}
	err := atomicfile.WriteFile(v.out, func(w io.Writer) error {
		nw := segment.NewWriter(v.format, w)
		if input = v.each(func(l labelled) error {
			src := l.source()
			if v.format == segment.RLE {
				src.Name = segment.Stem(l.name)
				if v.root == "" {
					src.Name = filepath.Base(src.Name)
				}
			}
			if seen[src.Name] {
				return inputf("give each a name of its own, or write a file for each", "%s would hold two images of the name %q, as one", v.out, src.Name)
			}
			seen[src.Name] = true
			if err := nw.Begin(src); err != nil {
				return err
			}
			for _, n := range l.nuclei() {
				if err := nw.Write(&n); err != nil {
					return err
				}
			}
			return nil
		}); input != nil {
			return input
		}
		return nw.Close()
	})
	return cmp.Or(input, err)
}
