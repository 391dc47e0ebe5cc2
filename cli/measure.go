package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func measureCommand() *cli.Command {
	return &cli.Command{
		Name:      "measure",
		Usage:     "measure the nuclei of a label image",
		UsageText: "unet measure LABELS [IMAGE...] [--out FILE.csv]",
		Description: "LABELS is a label image from any program: one whole number per pixel, 0 for\n" +
			"background. Every nucleus gets a row: area, perimeter, centroid, axes, eccentricity,\n" +
			"solidity, circularity, Feret diameter, whether the image's edge cuts it, and the\n" +
			"intensities in every channel of every IMAGE. Definitions are those of scikit-image's\n" +
			"regionprops; lengths are also given in micrometres where the pixel size is known.\n" +
			"The columns are described in README.md.",
		Flags: append(append(pageFlags(), measuringFlags("Nuclei", "Measurements")...),
			positiveFlag("Measurements"),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write the table to `FILE` instead of standard output"},
			pixelSizeFlag(""),
			forceFlag(""),
			memoryFlag("hold images of at most `SIZE`, such as 2GiB", ""),
		),
		Action: measure,
	}
}

// pageFlags choose a plane of label files and images that hold several.
func pageFlags() []cli.Flag {
	const category = "Planes of a file"
	return []cli.Flag{
		&cli.StringFlag{Name: "page", Value: "all", Usage: "`PAGE` of the label file and the images, from 0", Category: category},
		&cli.StringFlag{Name: "channel", Value: "all", Usage: "`CHANNELS` of the images, by name or by number from 0", Category: category},
		&cli.StringFlag{Name: "z", Value: "all", Usage: "`SLICE` counted from 0", Category: category},
		&cli.StringFlag{Name: "t", Value: "all", Usage: "time `POINT` counted from 0", Category: category},
		&cli.StringFlag{Name: "well", Value: "all", Usage: "`WELL` of a plate, such as B03", Category: category},
		&cli.StringFlag{Name: "field", Value: "all", Usage: "`FIELD` of a well, counted from 0", Category: category},
		levelFlag(category),
	}
}

// pixelSizeFlag is the option that says how large pixels are.
func pixelSizeFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "pixel-size", Usage: "width of a pixel in `MICROMETRES`, or width and height as 0.5x1", DefaultText: "what the file says", Category: category}
}

// pixelSize reads that option, unknown when it is not given.
func pixelSize(c *cli.Context) (imageio.PixelSize, error) {
	text := c.String("pixel-size")
	if text == "" {
		return imageio.PixelSize{}, nil
	}
	size, err := imageio.ParsePixelSize(text)
	if err != nil {
		return size, usagef("--pixel-size: %v", err)
	}
	return size, nil
}

// measure is the command.
func measure(c *cli.Context) error {
	t := term(c)
	if !c.Args().Present() {
		return usagef("an argument is missing: the label image")
	}
	out := c.String("out")
	if err := owned.File(out, c.Bool("force"), c.Args().Slice()...); err != nil {
		return err
	}
	markers, err := positive(c)
	if err != nil {
		return err
	}
	labels, img, err := readMeasured(c)
	if err != nil {
		return err
	}
	warnOfLabels(t, c.Args().First(), labels)
	found, src, err := measureImage(c, labels, img)
	if err != nil {
		return err
	}
	marked, warnings, err := segment.Mark(markers, &src, found.Nuclei)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		t.warnf("%s", w)
	}
	write := func(w io.Writer) error { return formats.WriteAll(formats.NewTable(w), src, found.Nuclei) }
	if out != "" && out != "-" {
		if err := atomicfile.WriteFile(out, write); err != nil {
			return err
		}
	}
	switch {
	case t.json:
		return t.writeJSON(measureResult{firstLayout, src.Name, src.W, src.H, src.PixelSize, append([]string{}, src.Channels...), segment.NewStatistics(found.Summarise(src.W, src.H)), src.Sheet().Columns, marked, positiveNuclei(&src, found.Nuclei), append([]instance.Nucleus{}, found.Nuclei...)})
	case out == "" || out == "-":
		t.clear()
		return write(t.out)
	}
	t.printf("%s\n", strings.Join(append([]string{plural(len(found.Nuclei), "nucleus", "nuclei") + " in " + out}, positiveTexts(marked)...), ", "))
	return nil
}

// positiveFlag is the option that tells positive nuclei from negative ones.
func positiveFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "positive", Usage: "tell positive nuclei from negative ones by the mean of a channel or another measurement: `MARKERS` such as Ki67 (threshold by Otsu over all nuclei) or 'Ki67>200,ring_mean_CD3>50'", Category: category}
}

// positive reads that option.
func positive(c *cli.Context) ([]segment.Marker, error) {
	text := c.String("positive")
	list, err := segment.ParseMarkers(text)
	if err != nil {
		return nil, usagef("--positive %s: %v", text, err)
	}
	return list, nil
}

// positiveNuclei are the numbers of those that are positive, by marker.
func positiveNuclei(src *formats.Source, nuclei []instance.Nucleus) map[string][]uint32 {
	if len(src.Markers) == 0 {
		return nil
	}
	sheet, by := src.Sheet(), map[string][]uint32{}
	var row []float64
	for i := range nuclei {
		row = sheet.Append(row[:0], &nuclei[i])
		for k := range src.Markers {
			m := &src.Markers[k]
			if ok, _ := m.Positive(sheet, row); ok {
				by[m.Name] = append(by[m.Name], nuclei[i].ID)
			}
		}
	}
	return by
}

// readMeasured reads the label image and, as the channels of one image, all that
// is measured in it.
func readMeasured(c *cli.Context) (*imageio.Labels, *imageio.Image, error) {
	size, err := pixelSize(c)
	if err != nil {
		return nil, nil, err
	}
	images := c.NArg() > 1
	choice, err := imagePlanesFlags(c, images)
	if err != nil {
		return nil, nil, err
	}
	memory, err := newRoom(c)
	if err != nil {
		return nil, nil, err
	}
	labels, labelSize, err := readLabelPlane(c.Args().First(), choice, images, memory)
	if err != nil {
		return nil, nil, err
	}
	img := &imageio.Image{W: labels.W, H: labels.H, PixelSize: labelSize}
	files := c.Args().Tail()
	prefixes := fileNames(files)
	for k, name := range files {
		m, err := readImagePlane(name, labels, choice, memory)
		if err != nil {
			return nil, nil, err
		}
		for i, channel := range m.Channels {
			if len(files) > 1 { // tell the files apart
				m.Channels[i] = prefixes[k] + "_" + channel
			}
		}
		if k == 0 {
			img.Bits, img.Float = m.Bits, m.Float
		}
		img.Append(m)
		img.Channels = append(img.Channels, m.Channels...)
		if !img.PixelSize.Known() {
			img.PixelSize = m.PixelSize
		}
	}
	if size.Known() {
		img.PixelSize = size
	}
	return labels, img, nil
}

// measureImage measures the nuclei of a label image as the options say, and tells
// what of it could not be done or does not count.
func measureImage(c *cli.Context, labels *imageio.Labels, img *imageio.Image) (*segment.Measured, formats.Source, error) {
	var src formats.Source
	m, err := measuring(c)
	if err != nil {
		return nil, src, err
	}
	where, err := regions(c)
	if err != nil {
		return nil, src, err
	}
	region, ok, err := where.Read(filepath.Base(c.Args().Get(min(1, c.NArg()-1))), imageio.PlaneInfo{W: labels.W, H: labels.H})
	switch {
	case !ok:
		return nil, src, inputf("give the file itself", "there is no region of the image in %s", c.String("region"))
	case err != nil:
		return nil, src, err
	}
	found, err := m.Measure(labels, img, img.Channels, region)
	if err != nil {
		return nil, src, err
	}
	for _, w := range found.Warnings {
		term(c).warnf("%s", w)
	}
	for _, d := range found.Dropped {
		term(c).notef("%s left out: %s", plural(d.Nuclei, "nucleus", "nuclei"), d.Why)
	}
	return found, formats.Source{Name: filepath.ToSlash(c.Args().First()), W: labels.W, H: labels.H, PixelSize: img.PixelSize, Channels: found.Channels,
		Rings: m.Rings(), Region: found.Pixels()}, nil
}

// measuringFlags are the options that decide what is measured, and which nuclei
// count.
func measuringFlags(nuclei, measurements string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "keep", Usage: "count only nuclei that meet all `RULES`, such as 'area>=30,circularity>0.6,mean_DAPI>200'; the number left out is reported", Category: nuclei},
		&cli.StringFlag{Name: "region", Usage: "count only nuclei whose centroid lies in a region: `PATH` is a file of polygons (GeoJSON, ImageJ) or a mask, or a folder with one for each image, of the same name", Category: nuclei},
		&cli.StringFlag{Name: "ring", Usage: "also measure rings of this `WIDTH` around the nuclei, in pixels or as 2um, without the pixels of other nuclei", Category: measurements},
		&cli.StringFlag{Name: "stains", Usage: "separate the stains of colour images and measure their optical densities: `SET` is he (hematoxylin, eosin), hdab (hematoxylin, DAB) or hed (all three)", Category: measurements},
	}
}

// measuring reads those options.
func measuring(c *cli.Context) (m segment.Measuring, err error) {
	if text := c.String("ring"); text != "" {
		if m.Ring, err = segment.ParseLength(text); err != nil {
			return m, usagef("--ring %s: %v", text, err)
		}
	}
	if text := c.String("stains"); text != "" {
		if m.Stains, err = instance.ParseStains(text); err != nil {
			return m, usagef("--stains %s: %v", text, err)
		}
	}
	if m.Keep, err = instance.ParseRules(c.String("keep")); err != nil {
		return m, usagef("--keep %s: %v", c.String("keep"), err)
	}
	return m, nil
}

// regions reads the option that says where nuclei count.
func regions(c *cli.Context) (segment.Regions, error) {
	return segment.ParseRegions(c.String("region"))
}

// fileNames are the names of files without folder and extension, or with their
// folders where names alone do not tell them apart.
func fileNames(files []string) []string {
	names := make([]string, len(files))
	seen := map[string]bool{}
	for i, f := range files {
		names[i] = segment.Stem(filepath.Base(f))
		seen[names[i]] = true
	}
	if len(seen) < len(files) {
		for i, f := range files {
			names[i] = filepath.ToSlash(segment.Stem(f))
		}
	}
	return names
}

// warnOfLabels says what makes it unlikely that a file holds labels.
func warnOfLabels(t *terminal, name string, l *imageio.Labels) {
	for _, doubt := range l.Doubts() {
		t.warnf("%s: %s", name, doubt)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// imagePlanesFlags is planesFlags for a label file and perhaps images: options that
// only images can meet are refused where there are none.
func imagePlanesFlags(c *cli.Context, images bool) (segment.Choice, error) {
	if name := firstSet(c, "channel", "level"); name != "" && !images {
		return segment.Choice{}, usagef("--%s: no image is given to choose from", name)
	}
	return planesFlags(c)
}

// readLabelPlane reads the one plane of a label file that is chosen, and the
// width of its pixels in µm. With images beside it the choice is for them where the
// file has one plane.
func readLabelPlane(name string, choice segment.Choice, images bool, r *room) (*imageio.Labels, imageio.PixelSize, error) {
	f, closeFile, err := r.open(name)
	if err != nil {
		return nil, imageio.PixelSize{}, err
	}
	defer closeFile()
	if len(f.Planes) == 1 && images {
		choice = segment.Choice{}
	}
	choice.Channel, choice.Level = segment.All, 0
	jobs, _, err := choice.Planes(f)
	if err != nil {
		return nil, imageio.PixelSize{}, err
	}
	if len(jobs) > 1 {
		return nil, imageio.PixelSize{}, withHint(usagef("%s holds %d label images: choose one with --page, --z or --t", name, len(jobs)), segment.Contents(f))
	}
	p := jobs[0].Info
	if err := r.take(name, 4*int64(p.W)*int64(p.H)+f.ChunkBytes(jobs[0].Index)); err != nil {
		return nil, imageio.PixelSize{}, err
	}
	l, err := f.ReadLabels(jobs[0].Index)
	return l, f.Planes[jobs[0].Index].PixelSize, err
}

// readImagePlane reads all chosen channels of the one place in a file that is
// chosen; Channels names them. It must be as large as its labels.
func readImagePlane(name string, labels *imageio.Labels, choice segment.Choice, r *room) (*imageio.Image, error) {
	f, closeFile, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	if choice.Channel.String() == "" {
		choice.Channel = segment.All
	}
	jobs, _, err := choice.Planes(f)
	if err != nil {
		return nil, err
	}
	var planes []int
	for _, j := range jobs {
		if j.Measured[0] != jobs[0].Measured[0] {
			return nil, withHint(usagef("%s holds more than one image: choose with --page, --z or --t", name), segment.Contents(f))
		}
		// As float32, twice while channels are joined.
		if err := r.take(name, 2*4*int64(j.Info.W)*int64(j.Info.H)*int64(j.Info.C)+f.ChunkBytes(j.Index)); err != nil {
			return nil, err
		}
		planes = append(planes, j.Index)
	}
	m, err := segment.ReadChannels(f, planes...)
	if err == nil && (m.W != labels.W || m.H != labels.H) {
		err = inputf("give the image that was segmented", "%s has %d x %d pixels, the label image %d x %d", name, m.W, m.H, labels.W, labels.H)
	}
	return m, err
}
