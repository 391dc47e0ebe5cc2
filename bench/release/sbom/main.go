// Sbom turns `go list -m -json all` on its standard input into a CycloneDX
// 1.5 list of the modules linked into the program; bench/release/release.sh calls it.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

type component struct {
	Type     string           `json:"type"`
	Ref      string           `json:"bom-ref"`
	Name     string           `json:"name"`
	Version  string           `json:"version"`
	PURL     string           `json:"purl,omitempty"`
	Hashes   []hash           `json:"hashes,omitempty"`
	Licenses []map[string]any `json:"licenses,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type bom struct {
	Format   string `json:"bomFormat"`
	Spec     string `json:"specVersion"`
	Version  int    `json:"version"`
	Metadata struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

func main() {
	version := flag.String("version", "devel", "of the program")
	linked := flag.String("linked", "", "file with the paths of the linked modules")
	licences := flag.String("licences", "", "output of `unet licenses --json`")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *version, *linked, *licences); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, version, linkedFile, licenceFile string) error {
	licence, err := readLicences(licenceFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(linkedFile)
	if err != nil {
		return err
	}
	linked := map[string]bool{}
	for _, p := range strings.Fields(string(text)) {
		linked[p] = true
	}
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: []component{}}
	expression := func(module string) []map[string]any {
		if e := licence[module]; e != "" {
			return []map[string]any{{"expression": e}}
		}
		return nil
	}
	b.Metadata.Component = component{Type: "application", Ref: "unet", Name: "unet", Version: version, Licenses: expression("unet")}
	for d := json.NewDecoder(bufio.NewReader(in)); ; {
		var m struct {
			Path, Version, Sum string
			Main               bool
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if m.Main || !linked[m.Path] {
			continue
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl, Licenses: expression(m.Path)}
		// The hash go.sum holds: SHA-256 over the hashes of the module's files.
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == 32 {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
		}
		b.Components = append(b.Components, c)
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(b)
}

func readLicences(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []struct{ Module, Licence string }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	m := map[string]string{}
	for _, l := range list {
		m[l.Module] = l.Licence
	}
	return m, nil
}
