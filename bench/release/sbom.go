package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// A CycloneDX 1.5 list of the modules linked into the program.
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

// bill writes the list: modules is the output of `go list -m -json all`, linked the
// paths of the modules in the program, licences the output of `unet licenses --json`.
func bill(w io.Writer, version string, modules io.Reader, linked map[string]bool, licences []byte) error {
	var list struct {
		Modules []struct{ Module, Licence string }
	}
	if err := json.Unmarshal(licences, &list); err != nil {
		return err
	}
	licence := map[string]string{}
	for _, l := range list.Modules {
		licence[l.Module] = l.Licence
	}
	expression := func(module string) []map[string]any {
		if e := licence[module]; e != "" {
			return []map[string]any{{"expression": e}}
		}
		return nil
	}
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: []component{}}
	b.Metadata.Component = component{Type: "application", Ref: "unet", Name: "unet", Version: version, Licenses: expression("unet")}
	for d := json.NewDecoder(modules); ; {
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
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(b)
}
