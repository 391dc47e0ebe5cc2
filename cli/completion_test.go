package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCompletion completes command lines in the shells that are installed.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for _, s := range []struct{ shell, script string }{
		{"bash", `. ./unet; for line in "unet pre" "unet predict --ou"; do
			COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _unet; echo "${COMPREPLY[@]}"; done`},
		{"fish", `source ./unet; for line in "unet pre" "unet predict --ou"; complete -C $line | string split -f1 \t | string join " "; end; true`},
		{"zsh", `compdef() { }; . ./unet; _describe() { print -r -- ${${(M)commands:#pre*}%%:*} }
			_arguments() { print -r -- ${${(M)@:#--ou*}%%\[*} }
			words=(unet pre) CURRENT=2; _unet; words=(unet predict --ou) CURRENT=3; _unet`},
	} {
		t.Run(s.shell, func(t *testing.T) {
			out, _ := mustRun(t, 0, "completion", s.shell)
			if _, err := exec.LookPath(s.shell); err != nil {
				t.Skip(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "unet"), []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(s.shell, "-c", s.script)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
			got, err := cmd.CombinedOutput()
			if want := "predict prepare\n--out\n"; err != nil || string(got) != want {
				t.Errorf("%v: %q, want %q", err, got, want)
			}
		})
	}
	if out, _ := mustRun(t, 0, "completion", "powershell"); !strings.Contains(out, "'predict' = 'segment") {
		t.Errorf("PowerShell: %s", out)
	}
	// complete -l and -s take names without dashes (fish's manual).
	if out, _ := mustRun(t, 0, "completion", "fish"); !strings.Contains(out, " -l out -s o ") || strings.Contains(out, " -s -") || strings.Contains(out, " -l -") {
		t.Errorf("fish: %s", out)
	}
	for _, args := range [][]string{nil, {"tcsh"}, {"bash", "zsh"}} {
		mustRun(t, 2, append([]string{"completion"}, args...)...)
	}
}

// TestManual: there is a page for every command, and groff reads it without a word.
func TestManual(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, 0, "manual", dir)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) != len(commands())+1 {
		t.Fatalf("%d pages of %d commands, %v", len(pages), len(commands()), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{".TH ", ".SH NAME", ".SH SYNOPSIS"} {
			if !slices.ContainsFunc(strings.Split(string(text), "\n"), func(l string) bool { return strings.HasPrefix(l, part) }) {
				t.Errorf("%s: no %s", page, part)
			}
		}
		if _, err := exec.LookPath("groff"); err == nil {
			if out, err := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z", page).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v %s", page, err, out)
			}
		}
	}
}

// TestOptionsExist: whatever a command asks for by name is an option of one, since
// the library answers a name that it does not know with nothing.
func TestOptionsExist(t *testing.T) {
	known := map[string]bool{}
	for _, cmd := range newApp(newTerminal(nil, io.Discard, io.Discard)).Commands {
		for _, f := range cmd.Flags {
			for _, name := range f.Names() {
				known[name] = true
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bc\.(?:String|StringSlice|Int|Uint64|Float64|Bool|IsSet)\("([^"]*)"\)`).FindAllSubmatch(b, -1) {
			if asked++; !known[string(m[1])] {
				t.Errorf("%s asks for the option %q, which no command has", name, m[1])
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d options are asked for: how is that written now?", asked)
	}
}
