//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestApply(t *testing.T) {
	const text = "if a > b {\n\treturn a\n}\nreturn b\n"
	for _, c := range []struct{ name, old, new, want string }{ // want "": an error
		{"part of a line", "a > b", "a < b", "if a < b {\n\treturn a\n}\nreturn b\n"},
		{"several lines, indented otherwise", "if a > b {\nreturn a\n}", "a++", "a++\nreturn b\n"},
		{"twice", "return", "", ""},
		{"nowhere", "c", "", ""},
	} {
		got, err := (&mutation{old: c.old, new: c.new}).apply(text)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// TestLists: the lists can be read, and their tests are packages of this module.
func TestLists(t *testing.T) {
	var all []*mutation
	for _, name := range []string{"mutations.txt", "drawn.txt"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, list...)
	}
	for _, m := range all {
		for _, test := range m.tests {
			if dir, ok := strings.CutPrefix(test[0], "./"); !ok {
				t.Errorf("%s: %s: the package %q", m.file, m.reason, test[0])
			} else if _, err := os.Stat(filepath.Join("../../..", dir)); err != nil {
				t.Errorf("%s: %s: %v", m.file, m.reason, err)
			}
		}
	}
}
