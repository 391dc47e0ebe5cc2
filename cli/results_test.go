package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"unet/unet/crossval"
	"unet/unet/evaluate"
	"unet/unet/instance"
	"unet/unet/segment"
	"unet/unet/serve"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

var updateREADME = flag.Bool("update-readme", false, "write the tables of fields into JSON.md")

// documents are all results in JSON, with who writes them.
var documents = []struct {
	from  string
	value any
}{
	{"`predict --json`, `manifest.json`", segment.Summary{}},
	{"`train --json`", train.Summary{}},
	{"`train --folds --json`, `folds.json`", crossval.Summary{}},
	{"`history.json` of a training", train.History{}},
	{"`sweep --json`, `results.json`", train.SweepSummary{}},
	{"`evaluate --json`, `metrics.json`", evaluate.Report{}},
	{"`evaluate --solution --json`", solutionResult{}},
	{"`prepare --json`", prepareResult{}},
	{"`inspect --json`, `inspection.json`", inspectResult{}},
	{"`measure --json`", measureResult{}},
	{"`convert --json`", convertResult{}},
	{"`view --json`", viewResult{}},
	{"`info MODEL --json`", cardResult{}},
	{"`quantize --json`", quantizeResult{}},
	{"`export --json`", exportResult{}},
	{"`import --json`", importResult{}},
	{"`import --like --json`", importStateResult{}},
	{"`info --json`", infoResult{}},
	{"`version --json`", versionResult{}},
	{"`doctor --json`", doctorResult{}},
	{"`licenses --json`", licencesResult{}},
	{"`plugins list --json`", pluginsResult{}},
	{"`plugins install --json`", pluginResult{}},
	{"`sample --json`", sampleResult{}},
	{"`POST /api/v1/analyse/json` of `serve`", serve.Analysis{}},
}

// fieldTable lists the fields of a document, with what the comments of the Go types
// say about them. Objects that were described before are named by where.
type fieldTable struct {
	rows     strings.Builder
	document string
	listed   map[string]bool         // paths in the document
	at       map[reflect.Type]string // where a type was described
	comments map[string]map[string]string
}

func (f *fieldTable) add(t *testing.T, prefix string, typ reflect.Type) {
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		of := field.Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if field.Anonymous && name == "" {
			f.add(t, prefix, of)
			continue
		}
		if name == "" {
			name = field.Name
		}
		what, path := "", prefix+name
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Array || of.Kind() == reflect.Pointer || of.Kind() == reflect.Map {
			if of.Kind() != reflect.Pointer {
				path += map[bool]string{true: "{}", false: "[]"}[of.Kind() == reflect.Map]
			}
			of = of.Elem()
		}
		if f.listed[path] { // an outer field hides that of an embedded type
			continue
		}
		f.listed[path] = true
		meaning := strings.TrimPrefix(strings.TrimPrefix(f.comment(t, typ, field.Name), "`"+name+"` is "), "`"+name+"` are ")
		object := of.Kind() == reflect.Struct && (!of.Implements(reflect.TypeFor[json.Marshaler]()) || of == reflect.TypeFor[instance.Intensity]()) // which writes its fields
		switch {
		case object:
			what = "object"
		case of == reflect.TypeFor[segment.Number](), of.Kind() == reflect.Struct:
			what = "number"
		default:
			what = map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false", reflect.Interface: "any"}[of.Kind()]
			if what == "" {
				what = "number"
			}
		}
		if strings.HasPrefix(options, "omit") {
			what += ", may be absent"
		}
		seen, known := f.at[of]
		if object && known {
			meaning = strings.TrimSpace(strings.TrimSuffix(meaning, ".") + "; as " + seen)
			meaning = strings.TrimPrefix(meaning, "; ")
		}
		if meaning == "" {
			t.Errorf("%s.%s has no comment that says what `%s` is", typ, field.Name, path)
		}
		fmt.Fprintf(&f.rows, "| `%s` | %s | %s |\n", path, what, strings.ReplaceAll(meaning, "|", "\\|"))
		if object && !known {
			f.at[of] = fmt.Sprintf("`%s` of %s", path, f.document)
			f.add(t, path+".", of)
		}
	}
}

// comment is that of a field in the source of its type.
func (f *fieldTable) comment(t *testing.T, typ reflect.Type, field string) string {
	key := typ.PkgPath() + "." + typ.Name()
	if f.comments[key] == nil {
		f.read(t, typ.PkgPath())
	}
	return f.comments[key][field]
}

// read collects the comments of all fields of a package.
func (f *fieldTable) read(t *testing.T, pkg string) {
	files, err := filepath.Glob(filepath.Join("..", strings.TrimPrefix(pkg, "unet/"), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(pkg, files, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			of := map[string]string{}
			for _, field := range st.Fields.List {
				text := strings.Join(strings.Fields(field.Doc.Text()+" "+field.Comment.Text()), " ")
				for _, name := range field.Names {
					of[name.Name] = strings.TrimSuffix(goName.ReplaceAllStringFunc(text, f.jsonName(st)), ".")
				}
			}
			f.comments[pkg+"."+spec.Name.Name] = of
			return true
		})
	}
}

var goName = regexp.MustCompile(`\b[A-Z][A-Za-z0-9]+\b`)

// jsonName returns a function that turns the names of a type's fields into those
// in JSON.
func (f *fieldTable) jsonName(st *ast.StructType) func(string) string {
	names := map[string]string{}
	for _, field := range st.Fields.List {
		if field.Tag == nil {
			continue
		}
		name, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
		for _, id := range field.Names {
			if name != "" && name != "-" {
				names[id.Name] = "`" + name + "`"
			}
		}
	}
	return func(word string) string {
		if name, ok := names[word]; ok {
			return name
		}
		return word
	}
}

// TestJSONOption: the commands that take --json are those that JSON.md describes.
func TestJSONOption(t *testing.T) {
	described := map[string]bool{"gather": true} // prints what predict does
	for _, d := range documents {
		command, _, _ := strings.Cut(strings.Trim(d.from, "`"), " ")
		described[command] = true
	}
	for _, cmd := range newApp(newTerminal(nil, io.Discard, io.Discard)).Commands {
		takes := slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), "json") })
		if takes != described[cmd.Name] {
			t.Errorf("%s takes --json: %v", cmd.Name, takes)
		}
	}
}

// jsonTables is what JSON.md holds of all documents. Every field has a meaning.
func jsonTables(t *testing.T) string {
	f := &fieldTable{at: map[reflect.Type]string{}, comments: map[string]map[string]string{}}
	var b strings.Builder
	for _, r := range documents {
		f.rows.Reset()
		f.document, f.listed = r.from, map[string]bool{}
		f.add(t, "", reflect.TypeOf(r.value))
		fmt.Fprintf(&b, "\n## %s\n\n| field | value | meaning |\n|---|---|---|\n%s", r.from, f.rows.String())
	}
	return b.String()
}

// TestJSONFields compares JSON.md with the types; -update-readme writes it.
func TestJSONFields(t *testing.T) {
	const file, begin, end = "../JSON.md", "<!-- from the Go types -->\n", "<!-- end of fields -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	tables, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("JSON.md has no place for the fields")
	}
	want := jsonTables(t)
	if tables == want {
		return
	}
	if !*updateREADME {
		t.Fatal("JSON.md lists other fields: go test ./cli -run JSONFields -update-readme")
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestResultsHaveASchema: every document begins with the number of its layout, and
// whatever a command prints is one of them.
func TestResultsHaveASchema(t *testing.T) {
	for _, r := range documents {
		field, ok := reflect.TypeOf(r.value).FieldByName("Schema")
		if !ok || field.Tag.Get("json") != "schema" {
			t.Errorf("%s has no schema number", r.from)
		}
	}
	dir := t.TempDir()
	labels := filepath.Join("testdata", "..", "..", "unet", "imageio", "testdata", "u8-strips.tif")
	for _, args := range [][]string{{"version"}, {"info"}, {"info", "embedded"}, {"licenses"}, {"plugins", "list"},
		{"plugins", "install", "snakemake", "--into", filepath.Join(dir, "p")}, {"sample", "--out", filepath.Join(dir, "s.zip"), "--count", "1", "--size", "64"},
		{"measure", labels}, {"view", labels, "--out", filepath.Join(dir, "v.png")}, {"export", "embedded", "--onnx", filepath.Join(dir, "m.onnx")}} {
		stdout, _ := mustRun(t, exitOK, append(args, "--json")...)
		var v struct{ Schema int }
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || v.Schema < 1 || !strings.HasPrefix(stdout, "{\n  \"schema\": ") {
			t.Errorf("%s: %v, %.80s", args, err, stdout)
		}
	}
}

// TestEveryResultIsListed: what is printed as JSON has a type of its own, which
// the tables describe.
func TestEveryResultIsListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			if strings.Contains(line, "writeJSON(map[") || strings.Contains(line, "writeJSON(struct") || strings.Contains(line, "writeJSON([]") {
				if !strings.HasSuffix(name, "_test.go") {
					t.Errorf("%s: %s", name, strings.TrimSpace(line))
				}
			}
		}
	}
}
