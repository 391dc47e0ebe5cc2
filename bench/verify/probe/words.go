//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// wordRows check what errors say, and their codes.
func wordRows() []row {
	rows := []row{
		{name: "predict of a name in no UTF-8", line: words, args: "predict \xff.png --out o" + model, code: badInput},
		{name: "predict of an image with a name in no UTF-8", line: words, args: "predict d --out o --format labels" + model, code: done,
			make: func(d *dir) { d.copy("a.png", "d/\xff.png") }},
		{name: "predict --skip-existing of a name in no UTF-8", line: words, args: "predict d --out o --format labels --skip-existing" + model, code: done, says: "1 kept",
			make: func(d *dir) { d.copy("a.png", "d/\xff.png") }, first: []string{"predict d --out o --format labels" + model},
			changes: []string{"o"}},
		{name: "predict of a name with an escape", line: words, args: "predict d --out o" + model, code: badInput,
			make: func(d *dir) { d.text("d/\x1b[31mred\a.png", "no image") }},
		{name: "predict of a name of 300 characters", line: words, args: "predict " + strings.Repeat("x", 300) + ".png --out o" + model, code: badInput},
		{name: "predict of a name of 100000 characters", line: words, args: "predict " + strings.Repeat("x", 100000) + " --out o" + model, code: badInput},
		{name: "predict with a model's name of 100000 characters", line: words, args: "predict a.png --out o --model " + strings.Repeat("x", 100000), code: badInput},
		{name: "predict with an option of 100000 characters", line: words, args: "predict a.png --out o --" + strings.Repeat("x", 100000), code: usage},
		{name: "predict with a format of 100000 characters", line: words, args: "predict a.png --out o --format " + strings.Repeat("x", 100000) + model, code: usage},
		{name: "predict with a threshold of 100000 characters", line: words, args: "predict a.png --out o --threshold " + strings.Repeat("9", 100000) + model, code: usage},
		{name: "a command of 100000 characters", line: words, args: strings.Repeat("x", 100000), code: usage},
		{name: "predict with NUL in a list", line: words, args: "predict --from-file l --out o" + model, code: badInput,
			make: func(d *dir) { d.text("l", "a\x00b.png\n") }},
		{name: "predict with a list in no UTF-8", line: words, args: "predict --from-file l --out o" + model, code: badInput,
			make: func(d *dir) { d.text("l", "\xff\xfe.png\n") }},
		{name: "convert of a region named in no UTF-8", line: words, args: "convert bad.json o.tif", code: badInput, says: "bad.json",
			make: func(d *dir) { d.text("bad.json", "{\"images\":[{\"id\":1,\"file_name\":\"\xff\",\"width\":\"x\"}]}") }},
		{name: "predict with too many open files", line: words, args: "predict d --out o" + model, code: resources, says: "open files", limits: "ulimit -n 8",
			make: func(d *dir) { d.copy("a.png", "d/a.png"); d.copy("b.png", "d/b.png") }, leaves: []string{"o"}},

		{name: "train with empty settings", line: words, args: "train set --out r --config e.yaml", code: usage, says: "e.yaml: it is empty",
			make: func(d *dir) { d.text("e.yaml", "") }},

		{name: "view A B --help", line: words, args: "view A B --help", code: done, says: "view LABELS [IMAGE]"},
		{name: "predict A -h", line: words, args: "predict A --out o -h", code: done, says: "predict IMAGE..."},
		{name: "convert A --help B", line: words, args: "convert A --help B", code: done, says: "convert IN... OUT"},

		{name: "predict into a read-only folder", line: words, args: "predict a.png --out d" + model, code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "predict below a read-only folder", line: words, args: "predict a.png --out d/o" + model, code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "train into a read-only folder", line: words, args: "train set --out d/r --config config.yaml", code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "prepare into a read-only folder", line: words, args: "prepare images.zip --out d/set", code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "convert into a read-only folder", line: words, args: "convert labels.tif d/x.zip", code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "view into a read-only folder", line: words, args: "view labels.tif -o d/x.png", code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "measure into a read-only folder", line: words, args: "measure labels.tif --out d/x.csv", code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "sample into a read-only folder", line: words, args: "sample --out d/x.zip", code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},
		{name: "evaluate into a read-only folder", line: words, args: "evaluate set --out d/e" + model, code: badInput, says: "d", user: true,
			make: func(d *dir) { d.folder("d"); d.mode("d", 0o555) }},

		{name: "four prepares at once", line: words, args: "prepare images.zip --out s --size native --quiet", code: badInput, says: "another process", copies: 4, leaves: []string{"s"}},
		{name: "four trainings at once", line: words, args: "train set --out r --config config.yaml --epochs 40 --quiet", code: failure, says: "another training", copies: 4, leaves: []string{"r"}},
		{name: "four predicts at once", line: words, args: "predict set/images --out o" + model + " --quiet", code: failure, says: "another run", copies: 4},

		{name: "prepare of a damaged inner zip", line: words, args: "prepare outer.zip --out o", code: badInput, says: "outer.zip",
			make: func(d *dir) { d.write("outer.zip", archive("stage1_train.zip", half(d.read("images.zip")))) }},
		{name: "prepare of an inner zip of text", line: words, args: "prepare outer.zip --out o", code: badInput, says: "outer.zip",
			make: func(d *dir) { d.write("outer.zip", archive("stage1_train.zip", []byte("no zip"))) }},
		{name: "prepare of half a zip", line: words, args: "prepare images.zip --out o", code: badInput, says: "images.zip",
			make: func(d *dir) { d.damage("images.zip", half) }},
		{name: "prepare of a zip of nothing", line: words, args: "prepare e.zip --out o", code: badInput, says: "e.zip",
			make: func(d *dir) { d.write("e.zip", archive()) }},
		{name: "prepare of names that lead out", line: words, args: "prepare e.zip --out o", code: badInput, says: "e.zip",
			make: func(d *dir) {
				d.write("e.zip", archive("../a/images/a.png", d.read("a.png"), "../a/masks/1.png", d.read("labels.png")))
			}},
		{name: "prepare of one name twice", line: words, args: "prepare e.zip --out o", code: badInput, says: "twice",
			make: func(d *dir) {
				d.write("e.zip", archive("a/images/a.png", d.read("a.png"), "a/images/a.png", d.read("b.png")))
			}},
		{name: "prepare of a broken image", line: words, args: "prepare e.zip --out o", code: badInput, says: "e.zip",
			make: func(d *dir) {
				d.write("e.zip", archive("a/images/a.png", half(d.read("a.png")), "a/masks/1.png", d.read("labels.png")))
			}},
		{name: "train of half the metadata", line: words, args: "train set --out r", code: badInput, says: "metadata.json",
			make: func(d *dir) { d.damage("set/metadata.json", half) }},
		{name: "train without an image of the set", line: words, args: "train set --out r --config config.yaml", code: badInput, says: "gray-tissue", leaves: []string{"r"},
			make: func(d *dir) { d.check(os.Remove(d.at("set/images/gray-tissue-0004a.png"))) }},
		{name: "train with half an image of the set", line: words, args: "train set --out r --config config.yaml", code: badInput, says: "gray-tissue", leaves: []string{"r"},
			make: func(d *dir) { d.damage("set/images/gray-tissue-0004a.png", half) }},
		{name: "train with half a label image", line: words, args: "train set --out r --config config.yaml", code: badInput, says: "gray-tissue", leaves: []string{"r"},
			make: func(d *dir) { d.damage("set/labels/gray-tissue-0004a.png", half) }},
		{name: "evaluate with half an image of the set", line: words, args: "evaluate set" + model, code: badInput, says: "gray-tissue",
			make: func(d *dir) { d.damage("set/images/gray-tissue-0004a.png", half) }},
		{name: "train from half a checkpoint", line: words, args: "train set --out r --resume", code: badFormat, says: "checkpoint.safetensors",
			first: []string{"train set --out r0 --config config.yaml --quiet"},
			make:  func(d *dir) { d.write("r/checkpoint.safetensors", half(d.read("model.safetensors"))) }},
	}
	for name, size := range map[string]string{"40 kB": "size=40k", "80 kB": "size=80k"} {
		rows = append(rows,
			row{name: "predict onto a full disk of " + name, line: words, args: "predict set/images --out small/o" + model, code: resources, says: "no space", disk: size, leaves: []string{"small"}},
			row{name: "prepare onto a full disk of " + name, line: words, args: "prepare images.zip --out small/s --size native", code: resources, says: "no space", disk: size, leaves: []string{"small"}},
			row{name: "train onto a full disk of " + name, line: words, args: "train set --out small/r --config config.yaml --quiet", code: resources, says: "no space", disk: size, leaves: []string{"small"}},
			row{name: "sample onto a full disk of " + name, line: words, args: "sample --out small/s.zip --count 50", code: resources, says: "no space", disk: size, leaves: []string{"small"}})
	}
	// Of the files that these would write, the shell allows 10 blocks of 512 bytes.
	for command, leaves := range map[string]string{"predict b.png --out f": "f",
		"view labels.tif a.png -o v.png": "", "prepare images.zip --out s": "", "train set --out r --config config.yaml --quiet": "r",
		"sample --out x.zip": "", "export model.safetensors --onnx m.onnx": "", "quantize model.safetensors set --out q.safetensors --quiet": ""} {
		rows = append(rows, row{name: "ulimit -f 10: " + command, line: words, args: command, code: resources, says: "too large", limits: "ulimit -f 10", leaves: []string{leaves}})
	}
	for name, disk := range map[string]string{"predict a.png --out small/o" + model: "", "convert labels.tif small/x.zip": "", "view labels.tif -o small/v.png": "",
		"measure labels.tif --out small/x.csv": "", "prepare images.zip --out small/s": "", "train set --out small/r --config config.yaml": "", "sample --out small/x.zip": ""} {
		rows = append(rows, row{name: "read-only file system: " + strings.Fields(name)[0], line: words, args: name, code: badInput, says: "read-only", disk: "ro" + disk})
	}
	// Models whose numbers or card make no sense.
	for name, f := range map[string]func([]byte) []byte{
		"with NaN":                     weight(0x7fc00000),
		"with infinity":                weight(0x7f800000),
		"with negative infinity":       weight(0xff800000),
		"of a negative diameter":       header(`\"diameter\":[`, `\"diameter\":[-`),
		"of version 0":                 header(`\"version\":1`, `\"version\":0`),
		"of version -1":                header(`\"version\":1`, `\"version\":-1`),
		"of version 99":                header(`\"version\":1`, `\"version\":99`),
		"of a threshold of 7":          header(`\"threshold\":0.5`, `\"threshold\":7`),
		"of depth 99":                  header(`\"depth\":2`, `\"depth\":99`),
		"of depth -2":                  header(`\"depth\":2`, `\"depth\":-2`),
		"of width 0":                   header(`\"width\":16`, `\"width\":0`),
		"of width 2^30":                header(`\"width\":16`, `\"width\":1073741824`),
		"of an unknown kind":           header(`\"kind\":\"nuclei\"`, `\"kind\":\"nothing\"`),
		"of an unknown type":           header(`"dtype":"F32"`, `"dtype":"F99"`),
		"of an offset beyond the file": header(`"data_offsets":[`, `"data_offsets":[9`),
		"of a negative shape":          header(`"shape":[64,`, `"shape":[-64,`),
		"without its last byte":        func(b []byte) []byte { return b[:len(b)-1] },
		"with a byte more":             func(b []byte) []byte { return append(b, 0) },
		"cut in half":                  half,
		"of a header of 2^60 bytes":    func(b []byte) []byte { return append([]byte{0, 0, 0, 0, 0, 0, 0, 16}, b[8:]...) },
		"of a header that is no JSON":  func(b []byte) []byte { return append(b[:8:8], bytes.Repeat([]byte("x"), len(b)-8)...) },
		"of 8 bytes":                   func(b []byte) []byte { return b[:8] },
	} {
		for command, args := range map[string]string{"predict": "predict a.png --out o --model m.safetensors", "info": "info m.safetensors",
			"quantize": "quantize m.safetensors set --out q.safetensors", "evaluate": "evaluate set --model m.safetensors",
			"export": "export m.safetensors --onnx m.onnx", "train --from": "train set --out r --from m.safetensors"} {
			rows = append(rows, row{name: fmt.Sprintf("%s of a model %s", command, name), line: words, args: args, code: badFormat, says: "m.safetensors",
				make: func(d *dir) { d.write("m.safetensors", f(d.read("model.safetensors"))) }})
		}
	}
	return rows
}
