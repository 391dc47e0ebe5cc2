package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"unet/unet/plugins"
	"unet/unet/report"

	"github.com/urfave/cli/v2"
)

func pluginsCommand() *cli.Command {
	return &cli.Command{
		Name:  "plugins",
		Usage: "install macros and scripts with which other programs call unet",
		UsageText: "unet plugins list\n" +
			"unet plugins install NAME [--into DIR]",
		Description: "Small macros, scripts and modules for Fiji and ImageJ, QuPath, napari, CellProfiler,\n" +
			"Nextflow, Snakemake, Galaxy, BILAYERS, Docker and Apptainer. They call this program\n" +
			"and work offline.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "into", Usage: "`DIR` to write to", DefaultText: "unet-NAME"},
		},
		Action: pluginsAction,
	}
}

func pluginsAction(c *cli.Context) error {
	t := term(c)
	args := c.Args().Slice()
	switch {
	case len(args) == 1 && args[0] == "list":
		if t.json {
			return t.writeJSON(pluginsResult{secondLayout, plugins.List()})
		}
		tab := &report.Table{Columns: []report.Column{{Name: "name"}, {Name: "for"}, {Name: "what"}}}
		for _, p := range plugins.List() {
			tab.Add(p.Name, p.For, p.Does)
		}
		return t.table(tab)
	case len(args) == 2 && args[0] == "install":
		return installPlugin(c, args[1])
	}
	return usagef("say `list`, or `install` and the name of a plugin")
}

func installPlugin(c *cli.Context, name string) error {
	t := term(c)
	p, ok := plugins.Find(name)
	if !ok {
		var names []string
		for _, p := range plugins.List() {
			names = append(names, p.Name)
		}
		return withHint(usagef("there is no plugin %q", name), "there are "+strings.Join(names, ", "))
	}
	dir := c.String("into")
	if dir == "" {
		dir = "unet-" + name
	}
	files, err := p.Install(filepath.Clean(dir))
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(pluginResult{firstLayout, p, files})
	}
	for _, f := range files {
		t.printf("%s written\n", f)
	}
	t.printf("%s\n", fmt.Sprintf("%s: %s", p.For, p.Use))
	return nil
}
