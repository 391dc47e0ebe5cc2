package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"unet/unet/imageio/atomicfile"

	"github.com/urfave/cli/v2"
)

// Main runs the program with the given arguments (the first is its name) and
// returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	// A connection that is lost ends a command as Ctrl-C does: what is done is saved.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
			signal.Stop(signals) // a second signal ends the process at once
		case <-ctx.Done():
		}
	}()
	t := newTerminal(stdin, stdout, stderr)
	app := newApp(t)
	args, err := reorder(app, args)
	if err != nil {
		return t.finish(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.RunContext(ctx, args) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		if t.listens.Load() {
			err = <-ended
		} else { // nothing to save: the process ends, its temporary files with it
			atomicfile.Abandon()
			err = errInterrupted
		}
	}
	return t.finish(err)
}

// listening marks an action that hears of the end of its context and has
// something to save or to tell then; the others are left where they are.
func listening(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		term(c).listens.Store(true)
		return action(c)
	}
}

// errInterrupted is the cause of a context ended by Ctrl-C, SIGTERM or SIGHUP.
var errInterrupted = errors.New("interrupted")

const terminalKey = "terminal"

func newApp(t *terminal) *cli.App {
	app := &cli.App{
		Name:            "unet",
		Usage:           "find, count and measure nuclei in microscopy images",
		UsageText:       "unet COMMAND [options] [arguments]",
		Description:     appDescription,
		HideHelpCommand: true,
		HideVersion:     true,
		Suggest:         false,
		Writer:          t.out,
		ErrWriter:       t.err,
		Metadata:        map[string]any{terminalKey: t},
		ExitErrHandler:  func(*cli.Context, error) {},
		Commands:        commands(),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.App, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		OnUsageError: usageError,
	}
	for _, cmd := range app.Commands {
		cmd.HideHelpCommand = true
		cmd.OnUsageError = usageError
		cmd.Flags = append(cmd.Flags, commonFlags(cmd.Name)...)
		for _, f := range cmd.Flags {
			if b, ok := f.(*cli.BoolFlag); ok {
				b.DisableDefaultText = true // off, as everybody expects
			}
		}
		action := cmd.Action
		cmd.Action = func(c *cli.Context) error {
			err := action(c)
			var usage *usageErr
			if errors.As(err, &usage) && usage.command == "" {
				usage.command = cmd.Name
			}
			return err
		}
		before := cmd.Before
		cmd.Before = func(c *cli.Context) error {
			if err := t.configure(c); err != nil {
				return &usageErr{problem: err.Error(), command: cmd.Name}
			}
			if before != nil {
				return before(c)
			}
			return nil
		}
	}
	return app
}

const appDescription = `Segment nuclei at once with the built-in model:

   unet predict IMAGE... --out DIR

or train your own: unet prepare, unet train, unet evaluate.

Exit status: 0 done; 1 failure; 2 wrong usage; 3 some inputs (of a sweep: variants)
failed, the others are done; 4 an input is missing or unreadable; 5 a model or file has the wrong
format; 6 out of memory or disk; 130 interrupted.`

// withoutJSON are the commands that print no result: a job, a script or an address.
var withoutJSON = []string{"cluster", "completion", "demo", "manual", "serve"}

// commonFlags are accepted by every command, but for --json.
func commonFlags(command string) []cli.Flag {
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors and results only", DisableDefaultText: true, Category: "General"},
		&cli.IntFlag{Name: "threads", Usage: "`NUMBER` of threads", DefaultText: "one per core", Category: "General", EnvVars: []string{"UNET_THREADS"}},
	}
	if slices.Contains(withoutJSON, command) {
		return flags
	}
	return slices.Insert(flags, 1, cli.Flag(&cli.BoolFlag{Name: "json", Usage: "print the result as JSON", DisableDefaultText: true, Category: "General"}))
}

// term returns the terminal of a running command.
func term(c *cli.Context) *terminal { return c.App.Metadata[terminalKey].(*terminal) }

// wrongValue is what package flag says of a value it cannot read.
var wrongValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-(\S+): `)

// usageError says in the program's own words what package flag found.
func usageError(c *cli.Context, err error, _ bool) error {
	e := &usageErr{problem: err.Error(), command: c.Command.Name}
	if e.command == c.App.Name { // before any command
		e.command, e.hint = "", "options come after the command; see `unet --help`"
	}
	if name, ok := strings.CutPrefix(e.problem, "flag provided but not defined: -"); ok {
		unknownOption(e, c.Command, dashed(name))
	}
	if m := wrongValue.FindStringSubmatch(e.problem); m != nil {
		needed := "a whole number"
		for _, f := range c.Command.Flags {
			if slices.Contains(f.Names(), m[2]) {
				switch f.(type) {
				case *cli.BoolFlag:
					needed = "no value, true or false"
				case *cli.Float64Flag:
					needed = "a number"
				}
			}
		}
		e.problem = fmt.Sprintf("%s %s: give %s", dashed(m[2]), m[1], needed)
	}
	return e
}

// unknownOption says that a command, if any, has no such option.
func unknownOption(e *usageErr, cmd *cli.Command, option string) {
	e.problem = "there is no option " + option
	best, score := "", 3
	for _, f := range cmd.Flags {
		for _, known := range f.Names() {
			if d := distance(strings.TrimLeft(option, "-"), known); len(known) > 1 && d < score {
				best, score = known, d
			}
		}
	}
	switch _, err := os.Stat(option); {
	case e.command == "":
	case err == nil:
		e.hint = "if the file is meant, write ./" + option
	case best != "":
		e.hint = fmt.Sprintf("did you mean %s? see `unet %s --help`", dashed(best), e.command)
	}
}

// dashed is an option as it is written on the command line.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func unknownCommand(app *cli.App, name string) error {
	e := &usageErr{problem: fmt.Sprintf("there is no command %q", name)}
	best, score := "", 3
	for _, cmd := range app.Commands {
		if d := distance(name, cmd.Name); d < score {
			best, score = cmd.Name, d
		}
	}
	if best != "" {
		e.hint = fmt.Sprintf("did you mean `unet %s`?", best)
	}
	return e
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// reorder moves a command's flags before its positional arguments, because
// urfave/cli stops looking for flags at the first positional argument. What
// other programs call `help COMMAND` and --version is understood, too.
func reorder(app *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	switch args[1] {
	case "help":
		args = append(append([]string{args[0]}, args[2:min(3, len(args))]...), "--help")
	case "--version":
		args = append([]string{args[0], "version"}, args[2:]...)
	}
	cmd := app.Command(args[1])
	if cmd == nil {
		return args, nil
	}
	takesValue := map[string]bool{}
	for _, f := range cmd.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var flags, rest []string
	for i := 2; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		if a == "--help" || a == "-h" { // whatever else there is
			return []string{args[0], args[1], a}, nil
		}
		if a == "-" || !strings.HasPrefix(a, "-") {
			rest = append(rest, a)
			continue
		}
		flags = append(flags, a)
		name, _, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if _, known := takesValue[name]; !known {
			e := &usageErr{command: cmd.Name}
			option, _, _ := strings.Cut(a, "=")
			unknownOption(e, cmd, option)
			return nil, e
		}
		if takesValue[name] && !hasValue {
			if i+1 == len(args) {
				return nil, &usageErr{problem: fmt.Sprintf("option %s needs a value", a), command: cmd.Name}
			}
			i++
			flags = append(flags, args[i])
		}
	}
	out := append([]string{args[0], args[1]}, flags...)
	return append(append(out, "--"), rest...), nil
}
