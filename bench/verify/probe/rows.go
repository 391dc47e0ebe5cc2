//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The promises that rows stand for.
const (
	losing  = "nothing is lost"
	hanging = "nothing hangs"
	memory  = "memory has a bound"
	words   = "words and codes"
)

func allRows() []row {
	return slices.Concat(losingRows(), hangingRows(), memoryRows(), wordRows(), formatRows(), argumentRows(), numberRows())
}

// model is the option of the small model, which most predictions take.
const model = " --model model.safetensors"

// formatRows are the damaged images of every format, in every command that
// reads images.
func formatRows() (rows []row) {
	for _, ext := range slices.Sorted(maps.Keys(goodImages)) {
		file := "x." + ext
		for _, damage := range []struct {
			name string
			make func(d *dir)
			says string
		}{
			{"cut short", func(d *dir) { d.write(file, half(d.read("good."+ext))) }, file},
			{"of 20 bytes", func(d *dir) { d.write(file, d.read("good." + ext)[:20]) }, file},
			{"empty", func(d *dir) { d.write(file, nil) }, "empty"},
			{"of text", func(d *dir) { d.text(file, "id,x,y\n1,2,3\n") }, "not an image"},
			{"that is a pipe", func(d *dir) { d.pipe(file) }, "is a pipe"},
			{"that is a folder", func(d *dir) { d.folder(file) }, file},
			{"that leads nowhere", func(d *dir) { d.link("nowhere", file) }, file},
		} {
			rows = append(rows, row{name: "predict of a " + ext + " " + damage.name, line: words, make: damage.make,
				args: "predict " + file + " --out o" + model, code: badInput, says: damage.says})
		}
	}
	for _, ext := range []string{"png", "tif"} {
		file := "x." + ext
		for name, args := range map[string]string{"measure": "measure " + file, "measure of an image": "measure labels.tif " + file, "view": "view " + file + " -o v.png",
			"view of an image": "view labels.tif " + file + " -o v.png", "convert": "convert " + file + " v.zip"} {
			for damage, make := range map[string]func(*dir){
				"cut short":           func(d *dir) { d.write(file, half(d.read("good."+ext))) },
				"empty":               func(d *dir) { d.write(file, nil) },
				"that is a pipe":      func(d *dir) { d.pipe(file) },
				"linked to /dev/zero": func(d *dir) { d.link("/dev/zero", file) },
			} {
				rows = append(rows, row{name: name + " with a " + ext + " " + damage, line: words, make: make, args: args, code: badInput, says: file})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	return rows
}

// argumentRows give every command that reads something else than an image an
// argument of the wrong kind.
func argumentRows() (rows []row) {
	for _, a := range []struct {
		command string
		codes   [4]int // of what is empty, a pipe, a link to /dev/zero, text
	}{
		{"prepare x --out o", [4]int{badInput, badInput, badInput, badInput}},
		{"inspect x", [4]int{badInput, badInput, badInput, badInput}},
		{"train x --out o", [4]int{badInput, badInput, badInput, badInput}},
		{"evaluate x" + model, [4]int{badInput, badInput, badInput, badInput}},
		{"quantize model.safetensors x --out q.safetensors", [4]int{badInput, badInput, badInput, badInput}},
		{"info x", [4]int{badFormat, badFormat, badFormat, badFormat}},
		{"quantize x set", [4]int{badFormat, badFormat, badFormat, badFormat}},
		{"predict a.png --out o --model x", [4]int{badFormat, badFormat, badFormat, badFormat}},
		{"evaluate set --model x", [4]int{badFormat, badFormat, badFormat, badFormat}},
		{"train set --out o --from x", [4]int{badFormat, badFormat, badFormat, badFormat}},
		{"import x --out y.safetensors", [4]int{badFormat, badFormat, badFormat, badFormat}},
		{"predict --out o --from-file x" + model, [4]int{usage, badInput, badInput, badInput}},
		{"evaluate --solution x x.csv", [4]int{badInput, badInput, badInput, badInput}},
		{"train set --out o --kind paper --config x", [4]int{usage, badInput, badInput, usage}},
		{"prepare images.zip --out o --sources x", [4]int{badInput, badInput, badInput, badInput}},
		{"prepare images.zip --out o --corrections x", [4]int{badInput, badInput, badInput, badInput}},
	} {
		for i, kind := range []string{"empty", "a pipe", "a link to /dev/zero", "text"} {
			r := row{name: fmt.Sprintf("unet %s, x is %s", a.command, kind), line: hanging, args: a.command, code: a.codes[i]}
			switch i {
			case 0:
				r.make = func(d *dir) { d.write("x", nil) }
			case 1:
				r.make = func(d *dir) { d.pipe("x") }
			case 2:
				r.make = func(d *dir) { d.link("/dev/zero", "x") }
			case 3:
				r.make = func(d *dir) { d.text("x", "the quick brown fox\n") }
			}
			rows = append(rows, r)
		}
	}
	for _, ext := range []string{"zip", "roi", "geojson", "json", "csv"} {
		for kind, make := range map[string]func(*dir){
			"empty":               func(d *dir) { d.write("y."+ext, nil) },
			"of text":             func(d *dir) { d.text("y."+ext, "the quick brown fox\n") },
			"that is a pipe":      func(d *dir) { d.pipe("y." + ext) },
			"linked to /dev/zero": func(d *dir) { d.link("/dev/zero", "y."+ext) },
			"that is a folder":    func(d *dir) { d.folder("y." + ext) },
			"of other bytes":      func(d *dir) { d.copy("good.png", "y."+ext) },
		} {
			rows = append(rows, row{name: "convert of a " + ext + " " + kind, line: hanging, make: make,
				args: "convert y." + ext + " z.tif --size 64x64", code: badInput, says: "y." + ext})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	return rows
}

// numberRows give options numbers that make no sense.
func numberRows() (rows []row) {
	for command, options := range map[string]string{
		"predict a.png --out o" + model: "threads jobs min-area threshold pixel-size diameter max-memory level page z t field",
		"train set --out o":             "threads batch epochs lr width depth seed steps dropout patience threshold fold",
		"prepare images.zip --out o":    "size split threads",
		"convert labels.tif v.zip":      "pixel-size z page size",
		"view labels.tif -o v.png":      "scale z page",
		"evaluate set" + model:          "samples split threads",
		"sample --out s.zip":            "count size",
	} {
		for _, option := range strings.Fields(options) {
			dashes := "--"
			if len(option) == 1 {
				dashes = "-"
			}
			for _, value := range []string{"NaN", "-99999999999999999999", "1e400", "x"} {
				word := strings.Fields(command)[0]
				rows = append(rows, row{name: fmt.Sprintf("%s with %s%s %s", word, dashes, option, value), line: words,
					args: command + " " + dashes + option + "=" + value, code: usage, says: option})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	return rows
}
