//go:build unix

package main

import (
	"fmt"
	"strings"
	"syscall"
)

// hangingRows give commands what would be waited for without end, and
// interrupt long ones.
func hangingRows() []row {
	rows := []row{
		{name: "predict of a pipe beside an image", line: hanging, args: "predict d --out o" + model, code: partial, says: "is a pipe",
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.pipe("d/p.png") }},
		{name: "predict of /dev/zero", line: hanging, args: "predict /dev/zero --out o" + model, code: badInput, says: "is a device"},
		{name: "predict of /dev/stdin", line: hanging, args: "predict /dev/stdin --out o" + model, code: badInput, says: "/dev/stdin"},
		{name: "predict of a link to /dev/zero beside an image", line: hanging, args: "predict d --out o" + model, code: partial, says: "is a device",
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.link("/dev/zero", "d/p.png") }},
		{name: "predict of a folder of pipes", line: hanging, args: "predict d --out o" + model, code: badInput, says: "is a pipe",
			make: func(d *dir) { d.pipe("d/p.png"); d.pipe("d/q.tif") }},
		{name: "predict of a link in a circle", line: hanging, args: "predict l.png --out o" + model, code: badInput, says: "l.png",
			make: func(d *dir) { d.link("l.png", "l.png") }},
		{name: "predict of folders in a circle", line: hanging, args: "predict d --out o" + model, code: done,
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.link("../d", "d/e") }},
		{name: "predict of a pipe as list from a folder", line: hanging, args: "predict --from-file d --out o" + model, code: badInput, says: "d",
			make: func(d *dir) { d.folder("d") }},
		{name: "evaluate of a set whose metadata is a pipe", line: hanging, args: "evaluate set" + model, code: badInput, says: "metadata.json",
			make: func(d *dir) { d.pipe("set/metadata.json") }},
		{name: "train of a set whose metadata is a pipe", line: hanging, args: "train set --out r", code: badInput, says: "metadata.json",
			make: func(d *dir) { d.pipe("set/metadata.json") }},
		{name: "train of a set whose metadata is /dev/zero", line: hanging, args: "train set --out r", code: badInput, says: "metadata.json",
			make: func(d *dir) { d.link("/dev/zero", "set/metadata.json") }},
		{name: "train of a set with a pipe as image", line: hanging, args: "train set --out r --config config.yaml", code: badInput, says: "gray-tissue", leaves: []string{"r"},
			make: func(d *dir) { d.pipe("set/images/gray-tissue-0004a.png") }},
		{name: "train with a pipe as checkpoint", line: hanging, args: "train set --out r --resume", code: badFormat, says: "checkpoint.safetensors",
			make: func(d *dir) { d.pipe("r/checkpoint.safetensors") }},
		{name: "train with /dev/zero as checkpoint", line: hanging, args: "train set --out r --resume", code: badFormat, says: "checkpoint.safetensors",
			make: func(d *dir) { d.folder("r"); d.link("/dev/zero", "r/checkpoint.safetensors") }},
		{name: "prepare of a folder with a pipe", line: hanging, args: "prepare d --out o --size 32", code: badInput, says: "is not a regular file",
			make: func(d *dir) { d.pipe("d/images/a.png"); d.copy("labels.png", "d/labels/a.png") }},
		{name: "inspect of a folder with a link to /dev/zero", line: hanging, args: "inspect d", code: badInput, says: "link",
			make: func(d *dir) { d.link("/dev/zero", "d/images/a.png"); d.copy("labels.png", "d/labels/a.png") }},
	}
	rows = append(rows, row{name: "predict of Zarr images whose names are a pipe", line: hanging, args: "predict c.zarr --out o" + model,
		make: func(d *dir) {
			d.zarr("c.zarr/0", "[64,64]", "[64,64]")
			d.text("c.zarr/.zattrs", `{"bioformats2raw.layout":3}`)
			d.pipe("c.zarr/OME/METADATA.ome.xml")
		}})
	for _, f := range []string{".zattrs", "0/.zarray", "0/0.0"} {
		for kind, make := range map[string]func(*dir){
			"a pipe":     func(d *dir) { d.pipe("good.zarr/" + f) },
			"/dev/zero":  func(d *dir) { d.link("/dev/zero", "good.zarr/"+f) },
			"a link out": func(d *dir) { d.link(d.at("a.png"), "good.zarr/"+f) },
			"a folder":   func(d *dir) { d.check(syscall.Unlink(d.at("good.zarr/" + f))); d.folder("good.zarr/" + f) },
		} {
			rows = append(rows, row{name: fmt.Sprintf("predict of a Zarr whose %s is %s", f, kind), line: hanging, make: make,
				args: "predict good.zarr --out o" + model, code: badInput, says: "good.zarr"})
		}
	}
	for kind, make := range map[string]func(*dir){
		"a pipe":    func(d *dir) { d.pipe("d/.unet-parts/plan.json") },
		"/dev/zero": func(d *dir) { d.link("/dev/zero", "d/.unet-parts/plan.json") },
		"of text":   func(d *dir) { d.text("d/.unet-parts/plan.json", "text\n") },
		"of 2^60 parts": func(d *dir) {
			d.text("d/.unet-parts/plan.json", `{"schema":1,"parts":1152921504606846976,"bounds":[]}`)
		},
		"of JSON of many levels": func(d *dir) { d.text("d/.unet-parts/plan.json", strings.Repeat("[", 1<<20)) },
	} {
		rows = append(rows, row{name: "gather of a plan that is " + kind, line: hanging, make: make, args: "gather d", code: badInput, says: "d"})
	}
	for name, signal := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP} {
		rows = append(rows,
			row{name: "train and " + name, line: hanging, args: "train set --out r --config config.yaml --epochs 100000 --quiet", code: interrupted, says: "--resume",
				signal: signal, when: "r/checkpoint.safetensors"},
			row{name: "predict and " + name, line: hanging, args: "predict d --out o --jobs 1 --format labels --quiet" + model, code: interrupted, says: "--skip-existing",
				signal: signal, when: "o/*.labels.tif", make: manyImages},
			row{name: "convert and " + name, line: hanging, args: "convert many.json o --quiet", code: interrupted,
				signal: signal, when: "o/*.tif", make: manyRegions})
	}
	return rows
}

// manyImages makes a folder whose prediction takes seconds.
func manyImages(d *dir) {
	b := d.read("a.png")
	for i := range 2000 {
		d.write(fmt.Sprintf("d/%04d.png", i), b)
	}
}

// manyRegions makes a COCO file of many images.
func manyRegions(d *dir) {
	d.folder("o")
	images, regions := "", ""
	for i := range 5000 {
		if i > 0 {
			images, regions = images+",\n", regions+",\n"
		}
		images += fmt.Sprintf(`{"id":%d,"file_name":"%d.png","width":512,"height":512}`, i+1, i)
		regions += fmt.Sprintf(`{"id":%d,"image_id":%d,"category_id":1,"segmentation":[[4,4,12,4,12,12,4,12]],"area":64,"bbox":[4,4,8,8],"iscrowd":0}`, i+1, i+1)
	}
	d.text("many.json", `{"images":[`+images+`],"annotations":[`+regions+`],"categories":[{"id":1,"name":"nucleus"}]}`)
}
