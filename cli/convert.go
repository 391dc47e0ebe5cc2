package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio"
	"unet/unet/imageio/owned"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func convertCommand() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "convert nuclei between label images, ROIs, GeoJSON, COCO and run lengths",
		UsageText: "unet convert IN... OUT, or unet convert IN... --to FORMAT FOLDER",
		Description: "The extension gives the format: .tif and .png label images, .zip ImageJ regions\n" +
			"(.roi can be read only), .geojson GeoJSON (QuPath), .json COCO (GeoJSON is\n" +
			"recognised on reading), .csv run lengths (Kaggle). Regions and run lengths do not\n" +
			"say how large the image is: give --size or --image. Of QuPath's cells the nuclei are\n" +
			"taken; regions that contain detections are not nuclei. Several INs become one COCO\n" +
			"file or run-length table, named with their folders where names alone would be the\n" +
			"same; a COCO file or table of several images becomes label images in OUT if that is\n" +
			"a folder, or --name chooses one image. Where nuclei overlap, the earlier one keeps\n" +
			"the pixel.\n\n" +
			"With --to every image becomes a file of its own in FOLDER, and a folder IN, such as\n" +
			"RESULTS of unet predict, stands for the label images (*.labels.tif, else\n" +
			"*.labels.zarr) in it, at any depth.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`FORMAT` of a file for each image: labels, roi or geojson"},
			&cli.StringFlag{Name: "size", Usage: "`WxH` of the image in pixels"},
			&cli.StringFlag{Name: "image", Usage: "`FILE` of the image, for its size"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the image in a COCO file or run-length table"},
			&cli.StringFlag{Name: "page", Value: "all", Usage: "`PAGE` of a label file, from 0"},
			&cli.IntFlag{Name: "z", Value: -1, Usage: "`SLICE` of a stack, from 0, of a label file or of regions", DefaultText: "the only one"},
			pixelSizeFlag(""),
			forceFlag(""),
			memoryFlag("hold images of at most `SIZE`, such as 2GiB", ""),
		},
		Action: convert,
	}
}

// conversion is one run of the command.
type conversion struct {
	reader
	ins, kept []string // inputs, and files that are never replaced
	out       string
	folder    bool   // out is one, for a file of each image
	format    string // of files in the folder, or of out
	force     bool

	images, nuclei int
}

// convert is the command.
func convert(c *cli.Context) error {
	v, err := newConversion(c)
	if err != nil {
		return err
	}
	if !v.folder {
		if err := owned.File(v.out, v.force, v.kept...); err != nil {
			return err
		}
	}
	switch {
	case v.folder:
		err = v.toFolder()
	case v.format == segment.Labels:
		err = v.toLabels()
	default:
		err = v.toFile()
	}
	if err != nil {
		return err
	}
	if v.t.json {
		return v.t.writeJSON(convertResult{firstLayout, v.out, v.images, v.nuclei, v.overlap})
	}
	v.t.printf("%s: %s in %s\n", v.out, plural(v.nuclei, "nucleus", "nuclei"), plural(v.images, "image", "images"))
	return nil
}

// newConversion reads the command line.
func newConversion(c *cli.Context) (*conversion, error) {
	if c.NArg() < 2 {
		return nil, usagef("give an input and an output")
	}
	args := c.Args().Slice()
	v := &conversion{out: args[len(args)-1], ins: args[:len(args)-1], force: c.Bool("force")}
	if err := v.readerFlags(c); err != nil {
		return nil, err
	}
	st, err := os.Stat(v.out)
	v.folder = err == nil && st.IsDir() || strings.HasSuffix(v.out, "/") || strings.HasSuffix(v.out, string(filepath.Separator))
	switch to := c.String("to"); to {
	case "":
		v.format = segment.Labels
		if v.folder {
			break
		}
		if v.format, err = nucleiFormat(v.out); err != nil {
			return nil, withHint(err, hintOf(err)+", or, for a folder, a name that ends in /")
		}
		if strings.EqualFold(filepath.Ext(v.out), ".roi") {
			return nil, withHint(usagef("%s: a .roi file holds one region, and regions are written as an archive", v.out), "give a name that ends in .zip")
		}
		if sameNames(v.ins) { // their folders tell them apart
			v.root = commonFolder(v.ins)
		}
	case segment.Labels, segment.ROI, segment.GeoJSON:
		if err == nil && !st.IsDir() {
			return nil, usagef("--to %s writes a file for each image, and %s is a file: give a folder", to, v.out)
		}
		if v.ins, err = labelFiles(v.ins); err != nil {
			return nil, err
		}
		v.folder, v.format, v.root = true, to, commonFolder(v.ins)
	default:
		return nil, usagef("--to %s: labels, roi or geojson", to)
	}
	v.kept = append(slices.Clone(v.ins), c.String("image"))
	return v, nil
}

// readerFlags reads the options that say what to take from the inputs.
func (v *conversion) readerFlags(c *cli.Context) (err error) {
	v.reader = reader{t: term(c), name: c.String("name"), z: c.Int("z")}
	if v.z < 0 && c.IsSet("z") {
		return usagef("--z %d: 0 or more", v.z)
	}
	if v.pixelSize, err = pixelSize(c); err != nil {
		return err
	}
	if v.memory, err = newRoom(c); err != nil {
		return err
	}
	if v.w, v.h, err = imageSize(c.String("size"), c.String("image")); err != nil {
		return err
	}
	if v.page.Page, err = segment.ParseSelection(c.String("page"), false); err != nil {
		return usagef("--page %s: %v", c.String("page"), err)
	}
	if v.z >= 0 {
		if v.page.Z, err = segment.ParseSelection(strconv.Itoa(v.z), false); err != nil {
			return usagef("--z %d: %v", v.z, err)
		}
	}
	return nil
}

// inputFormat is nucleiFormat for what is read: OME-Zarr folders, too.
func inputFormat(name string) (string, error) {
	if strings.EqualFold(filepath.Ext(filepath.Clean(name)), ".zarr") {
		return segment.Labels, nil
	}
	return nucleiFormat(name)
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
	return "", withHint(usagef("%s: no format for nuclei has this extension", name), "use .tif, .png, .zip, .geojson, .json or .csv")
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
