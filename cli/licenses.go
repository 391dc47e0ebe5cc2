package cli

import (
	"embed"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"unet/unet/report"

	"github.com/urfave/cli/v2"
)

// Licence texts, one per module with its slashes as underscores; std is Go.
//
//go:embed licenses/*.txt
var licenceTexts embed.FS

// licenceNames holds the SPDX expressions of the modules in the program.
var licenceNames = map[string]string{
	"unet":                               "Apache-2.0",
	"std":                                "BSD-3-Clause",
	"github.com/cpuguy83/go-md2man/v2":   "MIT",
	"github.com/klauspost/compress":      "BSD-3-Clause AND Apache-2.0 AND MIT",
	"github.com/klauspost/cpuid/v2":      "MIT",
	"github.com/russross/blackfriday/v2": "BSD-2-Clause",
	"github.com/urfave/cli/v2":           "MIT",
	"github.com/xrash/smetrics":          "MIT",
	"go.yaml.in/yaml/v3":                 "MIT AND Apache-2.0",
	"golang.org/x/image":                 "BSD-3-Clause",
	"golang.org/x/sync":                  "BSD-3-Clause",
	"golang.org/x/sys":                   "BSD-3-Clause",
	"golang.org/x/term":                  "BSD-3-Clause",
	"golang.org/x/text":                  "BSD-3-Clause",
	"google.golang.org/protobuf":         "BSD-3-Clause",
}

func licensesCommand() *cli.Command {
	return &cli.Command{
		Name:        "licenses",
		Usage:       "print the modules in this program and their licences",
		UsageText:   "unet licenses [--text]",
		Description: "unet is under the Apache License 2.0, the built-in models are CC0-1.0.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "text", Usage: "print the full texts"},
		},
		Action: licenses,
	}
}

// licenceOf is a module and its licence.
type licenceOf struct {
	Module  string `json:"module"`         // path of the module, std for Go itself
	Version string `json:"version"`        // its version
	Licence string `json:"licence"`        // its licence, as SPDX names it
	Text    string `json:"text,omitempty"` // text of the licence, with --text
}

func licenses(c *cli.Context) error {
	t := term(c)
	if c.Args().Present() {
		return usagef("unexpected argument %q", c.Args().First())
	}
	list, err := moduleLicences(c.Bool("text"))
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(licencesResult{secondLayout, list})
	}
	table := &report.Table{Columns: []report.Column{{Name: "module"}, {Name: "version"}, {Name: "licence"}}}
	for _, l := range list {
		table.Add(l.Module, l.Version, l.Licence)
	}
	if err := t.table(table); err != nil {
		return err
	}
	for _, l := range list {
		if l.Text != "" {
			t.printf("\n%s\n%s\n\n%s", l.Module, strings.Repeat("=", len(l.Module)), l.Text)
		}
	}
	return nil
}

// moduleLicences lists the modules linked into the program.
func moduleLicences(texts bool) ([]licenceOf, error) {
	versions := map[string]string{"unet": version(), "std": runtime.Version()}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, d := range b.Deps {
			versions[d.Path] = d.Version
		}
	}
	var list []licenceOf
	for module, name := range licenceNames {
		l := licenceOf{Module: module, Version: versions[module], Licence: name}
		if texts {
			b, err := licenceTexts.ReadFile(licenceFile(module))
			if err != nil {
				return nil, err
			}
			l.Text = string(b)
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b licenceOf) int { return strings.Compare(a.Module, b.Module) })
	return list, nil
}

func licenceFile(module string) string {
	return path.Join("licenses", strings.ReplaceAll(module, "/", "_")+".txt")
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the version",
		UsageText: "unet version",
		Action: func(c *cli.Context) error {
			t := term(c)
			if c.Args().Present() {
				return usagef("unexpected argument %q", c.Args().First())
			}
			if t.json {
				return t.writeJSON(versionResult{firstLayout, version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			}
			t.printf("unet %s\n", version())
			return nil
		},
	}
}
