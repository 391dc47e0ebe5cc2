package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// shells write what completes command lines of unet. All are made from the commands,
// and none runs the program while somebody types.
var shells = map[string]func(w io.Writer, all []*cli.Command){
	"bash": completeBash, "zsh": completeZsh, "fish": completeFish, "powershell": completePowerShell,
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script for a shell",
		UsageText: "unet completion bash|zsh|fish|powershell",
		Description: `Completes commands and options, and the names of files where a command takes them.

   bash:        source <(unet completion bash)
   zsh:         unet completion zsh > "${fpath[1]}/_unet"
   fish:        unet completion fish > ~/.config/fish/completions/unet.fish
   PowerShell:  unet completion powershell | Out-String | Invoke-Expression

Put the line into your shell's startup file.`,
		Action: func(c *cli.Context) error {
			shell := shells[c.Args().First()]
			if shell == nil || c.NArg() > 1 {
				return usagef("give one shell: bash, zsh, fish or powershell")
			}
			text := &strings.Builder{}
			shell(text, c.App.Commands)
			term(c).printf("%s", text)
			return nil
		},
	}
}

// option is a flag as it is completed.
type option struct {
	names []string // with dashes
	usage string
	value string // what it takes, in capitals; "" for nothing
}

func optionsOf(cmd *cli.Command) (list []option) {
	for _, f := range append(slices.Clone(cmd.Flags), &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help"}) {
		o := option{}
		for _, name := range f.Names() {
			o.names = append(o.names, dashed(name))
		}
		if d, ok := f.(cli.DocGenerationFlag); ok {
			o.usage = oneLine(d.GetUsage())
			if before, rest, ok := strings.Cut(o.usage, "`"); ok { // as urfave/cli marks the value
				value, after, _ := strings.Cut(rest, "`")
				o.value, o.usage = value, before+value+after
			} else if d.TakesValue() {
				o.value = "VALUE"
			}
		}
		if !slices.ContainsFunc(list, func(p option) bool { return p.names[0] == o.names[0] }) {
			list = append(list, o)
		}
	}
	return list
}

// quoted is s in single quotes, a quote in it written as escaped.
func quoted(s, escaped string) string { return "'" + strings.ReplaceAll(s, "'", escaped) + "'" }

func completeBash(w io.Writer, all []*cli.Command) {
	var names []string
	for _, cmd := range all {
		names = append(names, cmd.Name)
	}
	fmt.Fprintf(w, `# Completion of unet for bash.
_unet() {
    local word=${COMP_WORDS[COMP_CWORD]} options
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W '%s' -- "$word"))
        return
    fi
    case ${COMP_WORDS[1]} in
`, strings.Join(names, " "))
	for _, cmd := range all {
		var words []string
		for _, o := range optionsOf(cmd) {
			words = append(words, o.names...)
		}
		fmt.Fprintf(w, "    %s) options='%s' ;;\n", cmd.Name, strings.Join(words, " "))
	}
	fmt.Fprint(w, `    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    esac
}
complete -o default -F _unet unet
`)
}

func completeZsh(w io.Writer, all []*cli.Command) {
	// In a list of options brackets and colons have a meaning of their own.
	plain := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)
	fmt.Fprint(w, "#compdef unet\n# Completion of unet for zsh.\n_unet() {\n    if (( CURRENT == 2 )); then\n        local commands=(\n")
	for _, cmd := range all {
		fmt.Fprintf(w, "            %s\n", quoted(cmd.Name+":"+plain.Replace(cmd.Usage), `'\''`))
	}
	fmt.Fprint(w, "        )\n        _describe command commands\n        return\n    fi\n    local name=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $name in\n")
	for _, cmd := range all {
		fmt.Fprintf(w, "    %s)\n        _arguments -S", cmd.Name)
		for _, o := range optionsOf(cmd) {
			for _, name := range o.names {
				s := name + "[" + plain.Replace(o.usage) + "]"
				if o.value != "" {
					s += ":" + o.value + ":_files"
				}
				fmt.Fprintf(w, " \\\n            %s", quoted(s, `'\''`))
			}
		}
		fmt.Fprint(w, " \\\n            '*:file:_files' ;;\n")
	}
	fmt.Fprint(w, "    esac\n}\nif [ \"$funcstack[1]\" = _unet ]; then _unet \"$@\"; else compdef _unet unet; fi\n")
}

func completeFish(w io.Writer, all []*cli.Command) {
	fmt.Fprint(w, "# Completion of unet for fish.\n")
	for _, cmd := range all {
		fmt.Fprintf(w, "complete -c unet -n __fish_use_subcommand -f -a %s -d %s\n", cmd.Name, quoted(cmd.Usage, `\'`))
		for _, o := range optionsOf(cmd) {
			fmt.Fprintf(w, "complete -c unet -n '__fish_seen_subcommand_from %s'", cmd.Name)
			for _, name := range o.names {
				if long, ok := strings.CutPrefix(name, "--"); ok {
					fmt.Fprintf(w, " -l %s", long)
				} else {
					fmt.Fprintf(w, " -s %s", name[1:])
				}
			}
			if o.value != "" {
				fmt.Fprint(w, " -r")
			}
			fmt.Fprintf(w, " -d %s\n", quoted(o.usage, `\'`))
		}
	}
}

func completePowerShell(w io.Writer, all []*cli.Command) {
	fmt.Fprint(w, "# Completion of unet for PowerShell.\nRegister-ArgumentCompleter -Native -CommandName unet -ScriptBlock {\n    param($word, $line, $cursor)\n    $commands = [ordered]@{\n")
	for _, cmd := range all {
		fmt.Fprintf(w, "        %s = %s\n", quoted(cmd.Name, "''"), quoted(cmd.Usage, "''"))
	}
	fmt.Fprint(w, "    }\n    $options = @{\n")
	for _, cmd := range all {
		fmt.Fprintf(w, "        %s = [ordered]@{\n", quoted(cmd.Name, "''"))
		for _, o := range optionsOf(cmd) {
			for _, name := range o.names {
				fmt.Fprintf(w, "            %s = %s\n", quoted(name, "''"), quoted(o.usage, "''"))
			}
		}
		fmt.Fprint(w, "        }\n")
	}
	fmt.Fprint(w, `    }
    $words = @($line.CommandElements | ForEach-Object { "$_" })
    $typed = $words.Count - [int]($word -ne '')
    $list = if ($typed -le 1) { $commands } elseif ($word -like '-*') { $options[$words[1]] }
    if ($list) {
        $list.GetEnumerator() | Where-Object { $_.Key -like "$word*" } | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new($_.Key, $_.Key, 'ParameterValue', $_.Value)
        }
    }
}
`)
}
