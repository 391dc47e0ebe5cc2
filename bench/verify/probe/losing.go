//go:build unix

package main

import "fmt"

// losingRows try to make commands replace what they did not make.
func losingRows() []row {
	into := "predict a.png --out d" + model
	rows := []row{
		{name: "predict over an input", line: losing, args: "predict d/a.png d/a.mask.png --out d --format mask" + model, code: usage, says: "is an input",
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.copy("b.png", "d/a.mask.png") }},
		{name: "predict over an input with --force", line: losing, args: "predict d/a.png d/a.mask.png --force --out d --format mask" + model, code: usage, says: "is an input",
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.copy("b.png", "d/a.mask.png") }},
		{name: "predict over a neighbour with --force", line: losing, args: into + " --format mask --force", code: done,
			make: func(d *dir) { d.copy("b.png", "d/a.mask.png"); d.copy("b.png", "d/b.png") }, changes: []string{"d/a.mask.png"}},
		{name: "predict over a link", line: losing, args: into + " --format mask", code: usage, says: "a.mask.png",
			make: func(d *dir) { d.folder("d"); d.link("../b.png", "d/a.mask.png") }},
		{name: "predict over a hard link to the input", line: losing, args: into + " --format mask --force", code: usage, says: "is an input",
			make: func(d *dir) { d.folder("d"); d.hardLink("a.png", "d/a.mask.png") }},
		{name: "predict over a link to the input", line: losing, args: into + " --format mask --force", code: usage, says: "is an input",
			make: func(d *dir) { d.folder("d"); d.link("../a.png", "d/a.mask.png") }},
		{name: "predict over the model", line: losing, args: "predict a.png --out d --format mask --force --model d/a.mask.png", code: usage, says: "is an input",
			make: func(d *dir) { d.copy("model.safetensors", "d/a.mask.png") }},
		{name: "predict into a file", line: losing, args: "predict a.png --out b.png" + model, code: usage, says: "b.png is a file"},
		{name: "predict into the folder of its images", line: losing, args: "predict d --out d --format labels" + model, code: done,
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.copy("b.png", "d/b.png") }},
		{name: "predict twice into a folder", line: losing, args: "predict b.png --out d --format labels" + model, code: done,
			first: []string{"predict a.png --out d --format labels" + model},
			// What both runs share.
			changes: []string{"d/index.html", "d/summary.csv", "d/manifest.json", "d/.unet-files", "d/pages"}},
		{name: "predict of two images of one name", line: losing, args: "predict d/a.png e/a.png --out o" + model, code: done,
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.copy("b.png", "e/a.png") }},
		{name: "predict of a.png and a.tif", line: losing, args: "predict a.png a.tif --out o" + model, code: done,
			make: func(d *dir) { d.copy("good.tif", "a.tif") }},

		{name: "convert over its input", line: losing, args: "convert labels.tif ./labels.tif", code: usage, says: "overwritten"},
		{name: "convert over its input with --force", line: losing, args: "convert labels.tif ./labels.tif --force", code: usage, says: "overwritten"},
		{name: "convert over a hard link to its input", line: losing, args: "convert labels.tif l.tif --force", code: usage, says: "overwritten",
			make: func(d *dir) { d.hardLink("labels.tif", "l.tif") }},
		{name: "convert over a link to its input", line: losing, args: "convert labels.tif l.tif --force", code: usage, says: "overwritten",
			make: func(d *dir) { d.link("labels.tif", "l.tif") }},
		{name: "convert over its --image", line: losing, args: "convert x.geojson i.tif --image i.tif --force", code: usage, says: "overwritten",
			make: func(d *dir) { d.copy("good.tif", "i.tif") }},
		{name: "convert of a.png and a.tif into a folder", line: losing, args: "convert two.json o", code: done, says: "2",
			make: func(d *dir) { d.folder("o"); d.text("two.json", cocoOf("a.png", "a.tif")) }},
		{name: "convert into a folder out of it", line: losing, args: "convert out.json o", code: badInput, says: "escaped",
			make: func(d *dir) { d.folder("o"); d.text("out.json", cocoOf("../escaped.png", "b.png")) }},
		{name: "view over its labels", line: losing, args: "view labels.png -o labels.png", code: usage, says: "overwritten"},
		{name: "view over its image", line: losing, args: "view labels.tif a.png -o a.png --force", code: usage, says: "overwritten"},
		{name: "view over a hard link to its image", line: losing, args: "view labels.tif a.png -o h.png --force", code: usage, says: "overwritten",
			make: func(d *dir) { d.hardLink("a.png", "h.png") }},
		{name: "measure over its labels", line: losing, args: "measure labels.tif --out labels.tif", code: usage, says: "overwritten"},
		{name: "measure over its image", line: losing, args: "measure labels.tif a.png --out a.png --force", code: usage, says: "overwritten"},
		{name: "measure over a link to its image", line: losing, args: "measure labels.tif a.png --out l.csv --force", code: usage, says: "overwritten",
			make: func(d *dir) { d.link("a.png", "l.csv") }},

		{name: "train into its set", line: losing, args: "train set --out set --config config.yaml", code: usage, says: "set"},
		{name: "train into its set with --force", line: losing, args: "train set --out set --config config.yaml --force", code: usage, says: "set"},
		{name: "train into its set by a link", line: losing, args: "train set --out l --config config.yaml", code: usage, says: "set",
			make: func(d *dir) { d.link("set", "l") }},
		{name: "train over a run of ours", line: losing, args: "train set --out r --config config.yaml", code: usage, says: "--resume",
			first: []string{"train set --out r --config config.yaml --quiet"}},
		{name: "train into a file", line: losing, args: "train set --out b.png --config config.yaml", code: usage, says: "b.png"},
		{name: "prepare into a foreign folder", line: losing, args: "prepare images.zip --out d --size 32", code: usage, says: "not a prepared set",
			make: func(d *dir) { d.text("d/notes.txt", "mine\n") }},
		{name: "prepare into a foreign folder with --force", line: losing, args: "prepare images.zip --out d --size 32 --force", code: usage, says: "not a prepared set",
			make: func(d *dir) { d.text("d/notes.txt", "mine\n") }},
		{name: "prepare over a set with a foreign file", line: losing, args: "prepare images.zip --out set --size 32 --force", code: usage, says: "notes.txt",
			make: func(d *dir) { d.text("set/images/notes.txt", "mine\n") }},
		{name: "prepare over a set with a foreign folder", line: losing, args: "prepare images.zip --out set --size 32 --force", code: usage, says: "mine",
			make: func(d *dir) { d.text("set/mine/notes.txt", "mine\n") }},
		{name: "prepare over a set with other settings", line: losing, args: "prepare images.zip --out set --size 32", code: usage, says: "--force"},
		{name: "prepare into its source", line: losing, args: "prepare src --out src --force", code: usage, says: "src",
			make: func(d *dir) { d.copy("a.png", "src/images/a.png"); d.copy("labels.png", "src/labels/a.png") }},
		{name: "prepare into a file", line: losing, args: "prepare images.zip --out b.png --force", code: usage, says: "b.png"},
		{name: "quantize over its model", line: losing, args: "quantize model.safetensors set --out model.safetensors", code: usage, says: "model.safetensors"},
		{name: "quantize over its model with --force", line: losing, args: "quantize model.safetensors set --out model.safetensors --force", code: usage, says: "model.safetensors"},
		{name: "quantize over a hard link to its model", line: losing, args: "quantize model.safetensors set --out h.safetensors --force", code: usage, says: "h.safetensors",
			make: func(d *dir) { d.hardLink("model.safetensors", "h.safetensors") }},
		{name: "evaluate into its set", line: losing, args: "evaluate set --out set" + model, code: done},
		{name: "evaluate --tune keeps a copy", line: losing, args: "evaluate set --tune" + model, code: done, changes: []string{"model.safetensors"},
			appears: "model.before-tuning-*.safetensors"},
		{name: "evaluate --tune of a built-in model", line: losing, args: "evaluate set --tune", code: usage, says: "--tune"},
		{name: "sample into a folder's name", line: losing, args: "sample --out d.zip --count 10", code: usage, says: "d.zip",
			make: func(d *dir) { d.folder("d.zip") }},
		{name: "demo over a foreign folder", line: losing, args: "demo --out d", code: usage, says: "d",
			make: func(d *dir) { d.text("d/notes.txt", "mine\n") }},
		{name: "demo over the current folder", line: losing, args: "demo --out .", code: usage},
		{name: "demo over a file", line: losing, args: "demo --out b.png", code: usage, says: "b.png"},
		{name: "export over its model", line: losing, args: "export model.safetensors --onnx model.safetensors", code: usage, says: "model.safetensors"},
		{name: "plugins over foreign files", line: losing, args: "plugins galaxy d", code: usage},
	}
	// A file of somebody else where a command writes its results.
	for _, w := range []struct {
		command string
		results []string
	}{
		{into + " --format mask", []string{"d/a.mask.png", "d/summary.csv", "d/index.html", "d/manifest.json"}},
		{into + " --format labels", []string{"d/a.labels.tif"}},
		{into + " --format overlay", []string{"d/a.overlay.png"}},
		{into + " --format csv", []string{"d/nuclei.csv"}},
		{into + " --format roi", []string{"d/a.rois.zip"}},
		{into + " --format geojson", []string{"d/a.geojson"}},
		{into + " --format coco", []string{"d/coco.json"}},
		{into + " --format rle-csv", []string{"d/submission.csv"}},
		{"convert labels.tif d/x.zip", []string{"d/x.zip"}},
		{"convert labels.tif d/x.geojson", []string{"d/x.geojson"}},
		{"convert labels.tif d/x.png", []string{"d/x.png"}},
		{"convert labels.tif --to roi d", []string{"d/labels.rois.zip"}},
		{"view labels.tif -o d/v.png", []string{"d/v.png"}},
		{"measure labels.tif --out d/m.csv", []string{"d/m.csv"}},
		{"train set --out d --config config.yaml", []string{"d/model.safetensors", "d/best.safetensors", "d/config.yaml", "d/history.csv", "d/curves.png", "d/report.html"}},
		{"quantize model.safetensors set --out d/q.safetensors", []string{"d/q.safetensors"}},
		{"evaluate set --out d" + model, []string{"d/index.html"}},
		{"sample --out d/s.zip --count 10", []string{"d/s.zip"}},
		{"export model.safetensors --onnx d/m.onnx", []string{"d/m.onnx"}},
	} {
		for _, file := range w.results {
			rows = append(rows, row{name: fmt.Sprintf("unet %s over a foreign %s", w.command, file), line: losing, args: w.command, code: usage, says: file,
				make: func(d *dir) { d.text(file, "mine\n") }})
		}
	}
	return rows
}

// cocoOf is a COCO file of one square nucleus in each of the images.
func cocoOf(names ...string) string {
	images, regions := "", ""
	for i, name := range names {
		if i > 0 {
			images, regions = images+",", regions+","
		}
		n := string(rune('1' + i))
		images += `{"id":` + n + `,"file_name":"` + name + `","width":32,"height":32}`
		regions += `{"id":` + n + `,"image_id":` + n + `,"category_id":1,"segmentation":[[4,4,12,4,12,12,4,12]],"area":64,"bbox":[4,4,8,8],"iscrowd":0}`
	}
	return `{"images":[` + images + `],"annotations":[` + regions + `],"categories":[{"id":1,"name":"nucleus"}]}`
}
