//go:build unix

package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
)

// hugePNG has 400 million pixels in 2 MB.
var hugePNG = sync.OnceValue(func() []byte { return png(20000, 20000) })

// hugeStrip is a TIFF of 900 million pixels in one strip of Deflate, of 4 MB.
var hugeStrip = sync.OnceValue(func() []byte { return strip(30000, 30000) })

// memoryRows are small files and settings that ask for much memory.
func memoryRows() []row {
	rows := []row{
		{name: "convert of a COCO image of one column", line: memory, args: "convert bomb.json o.tif", code: badInput, says: "bomb.json",
			make: func(d *dir) { d.text("bomb.json", cocoBomb(1, 1<<28)) }},
		{name: "convert of a COCO image of one row", line: memory, args: "convert bomb.json o.tif", code: badInput, says: "bomb.json",
			make: func(d *dir) { d.text("bomb.json", cocoBomb(1<<28, 1)) }},
		{name: "convert of a COCO image of 2^60 pixels", line: memory, args: "convert bomb.json o.tif", code: badInput, says: "bomb.json",
			make: func(d *dir) { d.text("bomb.json", cocoBomb(1<<30, 1<<30)) }},
		{name: "convert with a size of 2^60 pixels", line: memory, args: "convert x.geojson o.tif --size 1073741824x1073741824", code: usage},
		{name: "convert of GeoJSON of 20000 tall regions", line: memory, args: "convert bomb.geojson o.tif --size 64x60000", code: badInput, says: "bomb.geojson",
			make: func(d *dir) { d.text("bomb.geojson", tallRegions(20000, 60000)) }},
		{name: "prepare of huge images", line: memory, args: "prepare bomb.zip --out o --size 32", code: badInput, says: "bomb.zip", mib: 1000,
			make: func(d *dir) {
				h := hugePNG()
				d.write("bomb.zip", archive("a/images/a.png", h, "a/masks/1.png", h, "b/images/b.png", h, "b/masks/1.png", h))
			}},
		{name: "inspect of huge images", line: memory, args: "inspect bomb.zip", code: done, says: "20000x20000", mib: 1000,
			make: func(d *dir) {
				h := hugePNG()
				d.write("bomb.zip", archive("a/images/a.png", h, "a/masks/1.png", h, "b/images/b.png", h, "b/masks/1.png", h))
			}},
		{name: "train with patches of 8192", line: memory, args: "train set --out r --config big.yaml", code: usage,
			make: func(d *dir) { d.text("big.yaml", strings.Replace(settings, "size: 32", "size: 8192", 1)) }},
		{name: "train with patches of 2^30", line: memory, args: "train set --out r --config big.yaml", code: usage,
			make: func(d *dir) { d.text("big.yaml", strings.Replace(settings, "size: 32", "size: 1073741824", 1)) }},
		{name: "train with patches of -32", line: memory, args: "train set --out r --config big.yaml", code: usage,
			make: func(d *dir) { d.text("big.yaml", strings.Replace(settings, "size: 32", "size: -32", 1)) }},
		{name: "train with a batch of 2^40", line: memory, args: "train set --out r --config config.yaml --batch 1099511627776", code: usage, says: "1099511627776"},
		{name: "train with more than the memory there is", line: memory, args: "train set --out r --batch 256 --quiet", code: resources, says: "--batch", limits: "ulimit -v 3000000"},
		{name: "predict with 1024 threads", line: memory, args: "predict a.png --out o --threads 1024" + model, code: usage},
		{name: "predict with 1000000 threads", line: memory, args: "predict a.png --out o --threads 1000000" + model, code: usage, says: "--threads"},
		{name: "predict of a Zarr of 2^60 pixels without chunks", line: memory, args: "predict z.zarr --out o" + model, code: resources, says: "z.zarr",
			make: func(d *dir) { d.zarr("z.zarr", "[1073741824,1073741824]", "[64,64]") }},
		{name: "predict of a Zarr of 2^20 x 2^20 pixels without chunks", line: memory, args: "predict z.zarr --out o --max-memory 4GiB" + model, code: resources, says: "1048576 pixels wide",
			make: func(d *dir) { d.zarr("z.zarr", "[1048576,1048576]", "[1024,1024]") }},
		{name: "predict of eight TIFFs of one huge strip", line: memory, args: "predict d --out o --max-memory 600MiB", code: badInput, says: "30000 pixels wide", mib: 600,
			make: func(d *dir) {
				for i := range 8 {
					d.write(fmt.Sprintf("d/%d.tif", i), hugeStrip())
				}
			}},
		{name: "measure of a TIFF of one huge strip", line: memory, args: "measure s.tif --max-memory 300MiB", code: resources, says: "--max-memory", mib: 300,
			make: func(d *dir) { d.write("s.tif", hugeStrip()) }},
		{name: "view of a huge PNG", line: memory, args: "view h.png -o v.png --max-memory 1GiB", code: resources, says: "--max-memory", mib: 1000,
			make: func(d *dir) { d.write("h.png", hugePNG()) }},
		{name: "measure of a huge PNG", line: memory, args: "measure h.png --max-memory 1GiB", code: resources, says: "--max-memory", mib: 1000,
			make: func(d *dir) { d.write("h.png", hugePNG()) }},
		{name: "convert of a huge PNG", line: memory, args: "convert h.png o.zip --max-memory 1GiB", code: resources, says: "--max-memory", mib: 1000,
			make: func(d *dir) { d.write("h.png", hugePNG()) }},
		{name: "convert of COCO of 2^28 pixels", line: memory, args: "convert bomb.json o.tif --max-memory 500MiB", code: resources, says: "--max-memory",
			make: func(d *dir) { d.text("bomb.json", cocoBomb(1<<14, 1<<14)) }},
		{name: "predict of a Zarr of 2^62 dimensions", line: memory, args: "predict z.zarr --out o" + model, code: resources, says: "z.zarr",
			make: func(d *dir) { d.zarr("z.zarr", "[4611686018427387904,4611686018427387904]", "[64,64]") }},
		{name: "predict of a Zarr with a negative side", line: memory, args: "predict z.zarr --out o" + model, code: badInput, says: "z.zarr",
			make: func(d *dir) { d.zarr("z.zarr", "[-64,64]", "[64,64]") }},
		{name: "predict of a Zarr with huge chunks", line: memory, args: "predict z.zarr --out o" + model, code: resources, says: "z.zarr",
			make: func(d *dir) { d.zarr("z.zarr", "[64,64]", "[1073741824,1073741824]"); d.text("z.zarr/0/0.0", "x") }},
		{name: "predict of a list with a line of 64 MiB", line: memory, args: "predict --from-file l --out o" + model, code: badInput,
			make: func(d *dir) { d.hole("l", 64<<20) }},
		{name: "train with YAML that grows", line: memory, args: "train set --out r --config grow.yaml", code: usage, says: "grow.yaml",
			make: func(d *dir) { d.text("grow.yaml", growing()) }},
		{name: "convert of deep JSON", line: memory, args: "convert deep.json o.tif", code: badInput, says: "deep.json",
			make: func(d *dir) { d.text("deep.json", strings.Repeat("[", 1<<20)) }},
		{name: "convert of deep GeoJSON", line: memory, args: "convert deep.geojson o.tif --size 64x64", code: badInput, says: "deep.geojson",
			make: func(d *dir) { d.text("deep.geojson", strings.Repeat(`{"features":[`, 1<<19)) }},
		{name: "view enlarged beyond measure", line: memory, args: "view labels.tif -o v.png --scale 1e9", code: usage, says: "--scale"},
	}
	for _, side := range []string{"1000000", "1073741824", "9223372036854775807"} {
		rows = append(rows, row{name: "sample of images of " + side, line: memory, args: "sample --out s.zip --size " + side, code: usage, says: "--size"})
	}
	// A hole of 1 TiB takes no room: it is a file of any length.
	for _, h := range []struct {
		file, args string
		code       int
	}{
		{"m", "predict a.png --out o --model m", badFormat},
		{"h.png", "predict h.png --out o" + model, resources},
		{"h.geojson", "convert h.geojson o.tif --size 64x64", badInput},
		{"h.json", "convert h.json o.tif --size 64x64", badInput},
		{"h.csv", "convert h.csv o.tif --size 64x64", badInput},
		{"h.zip", "convert h.zip o.tif --size 64x64", badInput},
		{"h.roi", "convert h.roi o.tif --size 64x64", badInput},
		{"h.csv", "evaluate --solution h.csv x.csv", badInput},
		{"h.tif", "measure h.tif", resources},
		{"h.zip", "prepare h.zip --out o", badInput},
		{"h.yaml", "train set --out r --config h.yaml", usage},
		{"set/metadata.json", "train set --out r", badInput},
		{"h", "import h --out y.safetensors", badFormat},
		{"d/.unet-parts/plan.json", "gather d", badInput},
	} {
		rows = append(rows, row{name: "unet " + h.args + ", which holds a hole of 1 TiB", line: memory, args: h.args, code: h.code, says: filepath.Base(h.file),
			make: func(d *dir) { d.hole(h.file, 1<<40) }})
	}
	// Small files that claim to cover an image again and again.
	const many, side = 20000, 4096
	for file, text := range map[string]func() []byte{
		"b.json":    func() []byte { return []byte(cocoRuns(many, side)) },
		"b.geojson": func() []byte { return []byte(squares(many, side)) },
		"b.zip":     func() []byte { return squareRegions(many, side) },
		"b.csv": func() []byte {
			return []byte("ImageId,EncodedPixels\n" + strings.Repeat(fmt.Sprintf("a,1 %d\n", side*side), many))
		},
	} {
		rows = append(rows, row{name: fmt.Sprintf("convert of %d nuclei that cover the image, %s", many, file), line: memory, code: badInput, says: file,
			args: fmt.Sprintf("convert %s o.tif --size %dx%d", file, side, side), make: func(d *dir) { d.write(file, text()) }})
	}
	return rows
}

// cocoRuns is a COCO file of run lengths, each of the whole image.
func cocoRuns(n, side int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"images":[{"id":1,"file_name":"a.png","width":%d,"height":%d}],"categories":[{"id":1,"name":"n"}],"annotations":[`, side, side)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"image_id":1,"category_id":1,"iscrowd":0,"segmentation":{"size":[%d,%d],"counts":[0,%d]}}`, i+1, side, side, side*side)
	}
	return b.String() + "]}"
}

// squares are regions of GeoJSON of the whole image.
func squares(n, side int) string {
	one := fmt.Sprintf(`{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[0,0],[%[1]d,0],[%[1]d,%[1]d],[0,%[1]d],[0,0]]]}}`, side)
	return `{"type":"FeatureCollection","features":[` + strings.Repeat(one+",", n-1) + one + "]}"
}

// squareRegions are ImageJ's regions of the whole image, compressed.
func squareRegions(n, side int) []byte {
	roi := append([]byte("Iout\x00\xe3"), make([]byte, 58)...)
	word := func(v int) { roi = binary.BigEndian.AppendUint16(roi, uint16(v)) }
	for i, v := range []int{0, 0, side, side, 4} { // top, left, bottom, right and corners
		binary.BigEndian.PutUint16(roi[8+2*i:], uint16(v))
	}
	for _, v := range []int{0, side, side, 0, 0, 0, side, side} {
		word(v)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range n {
		w, _ := z.Create(fmt.Sprintf("%d.roi", i))
		w.Write(roi)
	}
	z.Close()
	return b.Bytes()
}

// cocoBomb is a COCO file of an image that one region fills.
func cocoBomb(width, height int) string {
	return fmt.Sprintf(`{"images":[{"id":1,"file_name":"a.png","width":%d,"height":%d}],"annotations":[{"id":1,"image_id":1,"category_id":1,"segmentation":[[0,0,%d,0,%d,%d,0,%d]]}],"categories":[{"id":1,"name":"n"}]}`,
		width, height, width, width, height, height)
}

// tallRegions are regions of GeoJSON of the full height.
func tallRegions(n, height int) string {
	var b strings.Builder
	b.WriteString(`{"type":"FeatureCollection","features":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[0,0],[%d,0],[3,%d],[0,0]]]}}`, 1+i%60, height)
	}
	b.WriteString("]}")
	return b.String()
}

// growing is YAML whose aliases double forty times.
func growing() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for i := range 40 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	return b.String()
}
