package cluster

import (
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
)

// Job is work that is divided into parts, for an engine that runs them.
type Job struct {
	// Program is the path of unet where the parts run.
	Program string
	// Part are the arguments of a part without --shard and --threads, Gather those
	// that join the parts.
	Part, Gather []string
	// Out is the folder of the results.
	Out string
	// Parts is how many there are.
	Parts int
	// What says what the job does, in one line.
	What string
	// Trains says that parts are trainings, and take long.
	Trains bool
	// Version of unet.
	Version string
	// CPUs and MemoryGiB are for each part.
	CPUs, MemoryGiB int
}

// Engines lists the engines that jobs can be written for, sorted.
var Engines = []string{"kubernetes", "nextflow", "slurm", "snakemake"}

//go:embed templates
var templates embed.FS

// Write writes the job as a file for one of Engines, which people read, edit and
// submit. Its first lines say how.
func (j Job) Write(w io.Writer, engine string) error {
	if !slices.Contains(Engines, engine) {
		return fmt.Errorf("there is no engine %q", engine)
	}
	t, err := template.New(engine+".tmpl").Funcs(template.FuncMap{
		"sh": shell, "words": words, "json": quoted, "groovy": groovy, "braces": braces, "marks": marks, "line": oneLine, "min": func(a, b int) int { return min(a, b) },
	}).ParseFS(templates, "templates/"+engine+".tmpl")
	if err != nil {
		return err
	}
	return t.Execute(w, j)
}

// shell quotes a word for sh, where it needs it.
func shell(word string) string {
	plain := word != "" && strings.IndexFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./,:=+@%", r))
	}) < 0
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// words is a command line of sh.
func words(list []string) string {
	var quoted []string
	for _, w := range list {
		quoted = append(quoted, shell(w))
	}
	return strings.Join(quoted, " ")
}

// quoted is text as a string of JSON, which is one of YAML and of Python, too.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(text) // a string, to memory: never fails
	return strings.TrimSpace(b.String())
}

// groovy escapes text within a string of Groovy of three double quotes.
func groovy(text string) string {
	return strings.NewReplacer(`\`, `\\`, `$`, `\$`, `"`, `\"`).Replace(text)
}

// braces escapes text for Python's str.format, which Snakemake fills in commands
// with.
func braces(text string) string { return strings.NewReplacer("{", "{{", "}", "}}").Replace(text) }

// marks names the folder where Snakemake keeps what is done. It takes braces in names
// of files for wildcards, doubled or not.
func marks(out string) string { return strings.NewReplacer("{", "(", "}", ")").Replace(out) }

// oneLine keeps text within a comment.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
