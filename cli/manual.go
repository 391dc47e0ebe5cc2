package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"unet/unet/imageio/atomicfile"

	"github.com/urfave/cli/v2"
)

func manualCommand() *cli.Command {
	return &cli.Command{
		Name:      "manual",
		Usage:     "write the manual pages of all commands",
		UsageText: "unet manual FOLDER",
		Description: `Writes unet.1 and one page for each command, unet-predict.1 and so on, to read
with man, or to put where man looks for pages.`,
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("give the folder to write to")
			}
			dir := c.Args().First()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			pages := map[string]func(io.Writer){"unet": func(w io.Writer) { manualOfAll(w, c.App) }}
			for _, cmd := range c.App.Commands {
				pages["unet-"+cmd.Name] = func(w io.Writer) { manualOf(w, cmd) }
			}
			for name, page := range pages {
				err := atomicfile.WriteFile(filepath.Join(dir, name+".1"), func(w io.Writer) error {
					text := &strings.Builder{}
					page(text)
					_, err := io.WriteString(w, text.String())
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func manualOfAll(w io.Writer, app *cli.App) {
	manualHead(w, "unet", app.Usage, app.UsageText)
	section(w, "description", app.Description)
	fmt.Fprintln(w, ".SH COMMANDS")
	for _, cmd := range app.Commands {
		fmt.Fprintf(w, ".TP\n.BR unet\\-%s (1)\n%s\n", roff(cmd.Name), roff(cmd.Usage))
	}
}

func manualOf(w io.Writer, cmd *cli.Command) {
	manualHead(w, "unet-"+cmd.Name, cmd.Usage, cmd.UsageText)
	section(w, "description", cmd.Description)
	fmt.Fprintln(w, ".SH OPTIONS")
	for _, o := range optionsOf(cmd) {
		var names []string
		for _, name := range o.names {
			names = append(names, `\fB`+roff(name)+`\fR`)
		}
		value := ""
		if o.value != "" {
			value = ` \fI` + roff(o.value) + `\fR`
		}
		fmt.Fprintf(w, ".TP\n%s%s\n%s\n", strings.Join(names, ", "), value, roff(o.usage))
	}
	fmt.Fprint(w, ".SH SEE ALSO\n.BR unet (1)\n")
}

func manualHead(w io.Writer, name, usage, text string) {
	fmt.Fprintf(w, ".TH %s 1 \"\" \"unet %s\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(roff(name)), version(), roff(name), roff(usage))
	fmt.Fprint(w, ".SH SYNOPSIS\n.nf\n")
	for line := range strings.Lines(text) {
		fmt.Fprintln(w, roff(strings.TrimSpace(line)))
	}
	fmt.Fprintln(w, ".fi")
}

// section writes text: paragraphs are filled, indented lines kept as they are.
func section(w io.Writer, title, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(w, ".SH %s\n", strings.ToUpper(title))
	kept := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, " "); indented != kept && line != "" {
			kept = indented
			fmt.Fprintln(w, map[bool]string{true: ".nf", false: ".fi"}[kept])
		}
		if line == "" && !kept {
			line = ".PP"
			fmt.Fprintln(w, line)
			continue
		}
		fmt.Fprintln(w, roff(line))
	}
	if kept {
		fmt.Fprintln(w, ".fi")
	}
}

// roff is s as text of a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
