package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/imageio/tiff"
	"unet/unet/instance"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func convertCommand() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "convert nuclei between label images, ROIs, GeoJSON, COCO and run lengths",
		UsageText: "unet convert IN... OUT, or unet convert IN... --to FORMAT FOLDER",
		Description: "Formats go by extension: .tif and .png label images, .zip ImageJ regions (.roi is\n" +
			"read only), .geojson GeoJSON (QuPath), .json COCO (GeoJSON is recognised on\n" +
			"reading), .csv run lengths (Kaggle). Regions and run lengths do not say how large\n" +
			"the image is: give --size or --image. Of QuPath's cells the nucleus counts, and\n" +
			"regions that hold detections are no nuclei. Several INs become one COCO file or\n" +
			"run-length table; a COCO file or table of several images becomes label images in\n" +
			"OUT if that is a folder, or --name chooses one. Where nuclei overlap, the earlier\n" +
			"keeps the pixel.\n\n" +
			"With --to every image becomes a file of its own in FOLDER, and a folder IN, such as\n" +
			"RESULTS of unet predict, stands for the label images (*.labels.tif) below it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`FORMAT` of a file for each image: labels, roi or geojson"},
			&cli.StringFlag{Name: "size", Usage: "`WxH` of the image in pixels"},
			&cli.StringFlag{Name: "image", Usage: "`FILE` of the image, for its size"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the image in a COCO file or run-length table"},
			&cli.StringFlag{Name: "page", Value: "all", Usage: "`PAGE` of a label file, from 0"},
			&cli.IntFlag{Name: "z", Value: -1, Usage: "`SLICE` of a stack, from 0, of a label file or of regions", DefaultText: "the only one"},
			pixelSizeFlag(""),
			forceFlag(""),
		},
		Action: convert,
	}
}

// labelled is one image's nuclei on their way from one format to another.
type labelled struct {
	name      string
	labels    *imageio.Labels
	pixelSize imageio.PixelSize
}

// convert is the command.
func convert(c *cli.Context) error {
	t := term(c)
	if c.NArg() < 2 {
		return usagef("give an input and an output")
	}
	args := c.Args().Slice()
	out, ins := args[len(args)-1], args[:len(args)-1]
	r := &reader{t: t, name: c.String("name"), z: max(c.Int("z"), -1)}
	var err error
	if r.pixelSize, err = pixelSize(c); err != nil {
		return err
	}
	if r.w, r.h, err = imageSize(c.String("size"), c.String("image")); err != nil {
		return err
	}
	if r.page.Page, err = segment.ParseSelection(c.String("page"), false); err != nil {
		return usagef("--page %s: %v", c.String("page"), err)
	}
	if r.z >= 0 {
		if r.page.Z, err = segment.ParseSelection(strconv.Itoa(r.z), false); err != nil {
			return usagef("--z %d: %v", r.z, err)
		}
	}
	to := c.String("to")
	switch to {
	case "", segment.Labels, segment.ROI, segment.GeoJSON:
	default:
		return usagef("--to %s: labels, roi or geojson", to)
	}
	if to != "" {
		if st, err := os.Stat(out); err == nil && !st.IsDir() {
			return usagef("--to %s writes a file for each image, and %s is a file: give a folder", to, out)
		}
		if ins, err = labelFiles(ins); err != nil {
			return err
		}
		r.root = commonFolder(ins)
	}
	st, err := os.Stat(out)
	folder := to != "" || err == nil && st.IsDir() || strings.HasSuffix(out, "/") || strings.HasSuffix(out, string(filepath.Separator))
	format, err := nucleiFormat(out)
	if err != nil && !folder {
		return err
	}
	if strings.EqualFold(filepath.Ext(out), ".roi") && !folder {
		return withHint(usagef("%s: a .roi file holds one region, and regions are written as an archive", out), "give a name that ends in .zip")
	}
	kept := append(slices.Clone(ins), c.String("image"))
	if err := owned.File(out, c.Bool("force"), kept...); err != nil {
		return err
	}
	many := format == segment.COCO || format == segment.RLE
	total, images := 0, 0
	each := func(put func(labelled) error) error {
		for _, in := range ins {
			if err := r.read(in, func(l labelled) error {
				images++
				if images > 1 && !many && !folder {
					return withHint(usagef("%s holds one image, the input several", out), "choose one with --name, or give a folder")
				}
				seen := map[uint32]bool{}
				for _, id := range l.labels.ID {
					if id != 0 {
						seen[id] = true
					}
				}
				total += len(seen)
				return put(l)
			}); err != nil {
				return err
			}
		}
		if images == 0 {
			return inputf("check --name", "there is no image in %s", strings.Join(ins, ", "))
		}
		return nil
	}
	switch {
	case folder:
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		into, openErr := owned.Open(out, owned.Options{Force: c.Bool("force"), Inputs: kept})
		if openErr != nil {
			return openErr
		}
		taken := map[string]bool{}
		err = each(func(l labelled) error {
			name := strings.Trim(filepath.ToSlash(segment.Stem(l.name)), "/")
			if !filepath.IsLocal(filepath.FromSlash(name)) {
				return inputf("choose an image with --name, and give a file to write", "image name %q would leave the folder %s", l.name, out)
			}
			// Images that differ by their extensions alone keep them.
			if taken[strings.ToLower(name)] {
				name = strings.Trim(filepath.ToSlash(l.name), "/")
			}
			for base, i := name, 2; taken[strings.ToLower(name)]; i++ {
				name = fmt.Sprintf("%s~%d", base, i)
			}
			taken[strings.ToLower(name)] = true
			ext := map[string]string{segment.ROI: ".rois.zip", segment.GeoJSON: ".geojson"}[to]
			if ext == "" {
				ext = ".tif"
			}
			if err := into.Claim(name + ext); err != nil {
				return err
			}
			file := filepath.Join(out, filepath.FromSlash(name)+ext)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if ext != ".tif" {
				return atomicfile.WriteFile(file, func(w io.Writer) error {
					src := formats.Source{Name: l.name, W: l.labels.W, H: l.labels.H, PixelSize: l.pixelSize}
					return formats.WriteAll(segment.NewWriter(to, w), src, instance.Measure(l.labels, &imageio.Image{PixelSize: l.pixelSize}))
				})
			}
			return imageio.WriteLabels(file, l.labels, tiff.Options{PixelSize: l.pixelSize, Bits: max(16, imageio.LabelBits(l.labels.Max()))})
		})
		err = errors.Join(err, into.Close())
	case format == segment.Labels:
		var only labelled // written when it is known to be that
		err = each(func(l labelled) error {
			only = l
			return nil
		})
		if l := only; err == nil {
			err = imageio.WriteLabels(out, l.labels, tiff.Options{PixelSize: l.pixelSize, Bits: max(16, imageio.LabelBits(l.labels.Max()))})
		}
	default:
		var input error // which is not one of writing
		err = atomicfile.WriteFile(out, func(w io.Writer) error {
			nw := segment.NewWriter(format, w)
			if input = each(func(l labelled) error {
				src := formats.Source{Name: l.name, W: l.labels.W, H: l.labels.H, PixelSize: l.pixelSize}
				if format == segment.RLE {
					src.Name = filepath.Base(segment.Stem(l.name))
				}
				if err := nw.Begin(src); err != nil {
					return err
				}
				for _, n := range instance.Measure(l.labels, &imageio.Image{PixelSize: l.pixelSize}) {
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
		if input != nil {
			err = input
		}
	}
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(map[string]any{"out": out, "images": images, "nuclei": total, "overlapping_pixels": r.overlap})
	}
	t.printf("%s: %s in %s\n", out, plural(total, "nucleus", "nuclei"), plural(images, "image", "images"))
	return nil
}

// labelsExt ends the names of label images of unet predict.
const labelsExt = ".labels.tif"

// labelFiles lists files, and the label images below folders among them.
func labelFiles(args []string) (list []string, err error) {
	for _, arg := range args {
		if st, err := os.Stat(arg); err != nil || !st.IsDir() {
			list = append(list, arg)
			continue
		}
		before := len(list)
		if err := filepath.WalkDir(arg, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(p, labelsExt) {
				list = append(list, p)
			}
			return err
		}); err != nil {
			return nil, err
		}
		if len(list) == before {
			return nil, inputf("give a folder of unet predict, or the files", "there is no label image (*%s) in %s", labelsExt, arg)
		}
	}
	return list, nil
}

// commonFolder is the folder that all files lie in.
func commonFolder(files []string) string {
	dir := filepath.Dir(files[0])
	for _, f := range files {
		for {
			if rel, err := filepath.Rel(dir, f); err == nil && filepath.IsLocal(rel) || dir == filepath.Dir(dir) {
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	return dir
}

// nucleiFormat is the format that a file name stands for.
func nucleiFormat(name string) (string, error) {
	if strings.HasSuffix(strings.ToLower(name), ".geojson.gz") {
		return segment.GeoJSON, nil
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".tif", ".tiff", ".png":
		return segment.Labels, nil
	case ".zip", ".roi":
		return segment.ROI, nil
	case ".geojson":
		return segment.GeoJSON, nil
	case ".json":
		return segment.COCO, nil
	case ".csv":
		return segment.RLE, nil
	}
	return "", withHint(usagef("%s: no format of nuclei has this extension", name), "use .tif, .png, .zip, .geojson, .json or .csv")
}

// imageSize is the size that --size or --image give; 0 x 0 without them.
func imageSize(size, file string) (w, h int, err error) {
	if size != "" && file != "" {
		return 0, 0, usagef("give --size or --image, not both")
	}
	if file != "" {
		f, err := imageio.Open(file)
		if err != nil {
			return 0, 0, err
		}
		defer f.Close()
		return f.Planes[0].W, f.Planes[0].H, nil
	}
	if size == "" {
		return 0, 0, nil
	}
	var rest string
	if n, _ := fmt.Sscanf(size, "%dx%d%s", &w, &h, &rest); n != 2 || w < 1 || h < 1 || w > imageio.MaxSide || h > imageio.MaxSide {
		return 0, 0, usagef("--size %s: give width x height such as 1024x768", size)
	}
	return w, h, nil
}

// reader reads nuclei of any format.
type reader struct {
	t         *terminal
	w, h      int
	name      string // of the image wanted, "" for all
	page      segment.Choice
	z         int // slice of a stack, -1 for the only one
	pixelSize imageio.PixelSize
	overlap   int
	root      string // folder that names of images are relative to; "" for their last element
}

// read hands on the images of a file.
func (r *reader) read(in string, put func(labelled) error) error {
	format, err := nucleiFormat(in)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(filepath.Base(in))
	if r.root != "" { // of one image among others
		if rel, err := filepath.Rel(r.root, in); err == nil && filepath.IsLocal(rel) {
			name = filepath.ToSlash(rel)
		}
		name = strings.Replace(name, labelsExt, ".tif", 1)
	}
	if format == segment.Labels {
		l, size, err := readLabelPlane(in, r.page)
		if err != nil {
			return err
		}
		if r.pixelSize.Known() {
			size = r.pixelSize
		}
		warnOfLabels(r.t, in, l)
		return put(labelled{name, l, size})
	}
	f, err := input.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := readEncoded(f, format)
	if err != nil {
		return inputf("is it the file you meant, and whole?", "%s: %w", in, err)
	}
	for i := range list {
		if err := list[i].Slice(r.z); err != nil {
			return withHint(usagef("%s: %v", in, err), "choose a slice with --z, from 0")
		}
	}
	if r.name != "" {
		i := slices.IndexFunc(list, func(e formats.Encoded) bool { return e.Name == r.name })
		if i < 0 {
			return inputf("it holds "+someNames(list), "%s: there is no image %q", in, r.name)
		}
		list = list[i : i+1]
	}
	for _, e := range list {
		if e.Name == "" {
			e.Name = name
		}
		w, h := r.w, r.h
		if w == 0 && e.W == 0 {
			return withHint(usagef("%s does not say how large the image is", in), "add --size WxH or --image FILE")
		}
		l, lost, err := e.Labels(w, h)
		if err != nil {
			return inputf("is it the file you meant, and whole?", "%s: %w", in, err)
		}
		r.tell(in, &e, lost)
		if err := put(labelled{e.Name, l, r.pixelSize}); err != nil {
			return err
		}
	}
	return nil
}

// tell says what of a file is not in the result.
func (r *reader) tell(in string, e *formats.Encoded, lost formats.Lost) {
	r.overlap += lost.Overlap
	for _, n := range e.Notes {
		r.t.notef("%s: %s", in, n)
	}
	if lost.Overlap > 0 {
		r.t.warnf("%s, image %s: nuclei overlap in %s; the earlier keeps each", in, e.Name, plural(lost.Overlap, "pixel", "pixels"))
	}
	if lost.Outside > 0 {
		r.t.warnf("%s, image %s: %s outside the image and left out; is it the right image?", in, e.Name, plural(lost.Outside, "nucleus lies", "nuclei lie"))
	}
	if lost.Hidden > 0 {
		r.t.warnf("%s, image %s: %s wholly under others or smaller than a pixel and left out", in, e.Name, plural(lost.Hidden, "nucleus lies", "nuclei lie"))
	}
}

// readEncoded reads regions, JSON or a table. .json may hold COCO or GeoJSON, and
// .zip regions or GeoJSON.
func readEncoded(f *os.File, format string) ([]formats.Encoded, error) {
	if format == segment.RLE {
		return formats.ReadRLE(f)
	}
	var first error
	switch format {
	case segment.ROI:
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		e, err := formats.ReadROI(f, st.Size())
		if err == nil {
			return []formats.Encoded{*e}, nil
		}
		if !errors.Is(err, formats.ErrNoROI) {
			return nil, err
		}
		first = err
	case segment.COCO:
		list, err := formats.ReadCOCO(f)
		if err == nil {
			return list, nil
		}
		first = err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	e, err := formats.ReadGeoJSON(f)
	if err != nil {
		return nil, cmp.Or(first, err)
	}
	return []formats.Encoded{*e}, nil
}

func someNames(list []formats.Encoded) string {
	var names []string
	for _, e := range list[:min(len(list), 5)] {
		names = append(names, e.Name)
	}
	s := strings.Join(names, ", ")
	if len(list) > 5 {
		s += fmt.Sprintf(" and %d more", len(list)-5)
	}
	return s
}
