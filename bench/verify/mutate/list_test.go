//go:build unix

package main

import (
	"fmt"
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

// TestCheck: an entry whose line has gone, and one whose file has, are both named.
func TestCheck(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("return b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list := []*mutation{
		{file: "a.go", old: "return b", new: "return a", reason: "stands"},
		{file: "a.go", old: "return c", new: "return a", reason: "line gone"},
		{file: "b.go", old: "return b", new: "return a", reason: "file gone"},
	}
	if err := check(root, list[:1]); err != nil {
		t.Error(err)
	}
	err := check(root, list)
	if text := fmt.Sprint(err); strings.Contains(text, "stands") ||
		!strings.Contains(text, "a.go: line gone: ") || !strings.Contains(text, "b.go: file gone: ") {
		t.Error(err)
	}
}

// TestLists: the lists can be read, their lines stand in the source, and their tests
// are packages of this module.
func TestLists(t *testing.T) {
	names, err := filepath.Glob("*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %v", names, err)
	}
	var all []*mutation
	for _, name := range names {
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
	if err := check("../../..", all); err != nil {
		t.Error(err)
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
