package dsb2018

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	const archive = "data/dsb2018/stage1_train.zip"
	for _, c := range []struct {
		name      string
		files     []string // that exist beside the repository, besides its own
		variable  string   // UNET_DATA
		want      string
		wantError error
	}{
		{name: "a plain clone", wantError: errNone},
		{name: "beside the repository", files: []string{"shared/" + archive}, want: "shared/" + archive},
		{name: "shared without data", files: []string{"shared/README.md"}, wantError: fs.ErrNotExist},
		{name: "by UNET_DATA", files: []string{"else/" + archive, "shared/" + archive}, variable: "else/data", want: "else/" + archive},
		{name: "UNET_DATA without data", files: []string{"shared/" + archive}, variable: "else/data", wantError: fs.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range append(c.files, "clone/go.mod", "clone/unet/report/report.go") {
				f = filepath.Join(dir, f)
				if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o755), os.WriteFile(f, nil, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(filepath.Join(dir, "clone/unet/report"))
			if c.variable != "" {
				c.variable = filepath.Join(dir, c.variable)
			}
			t.Setenv("UNET_DATA", c.variable)
			if c.want != "" {
				c.want = filepath.Join(dir, c.want)
			}
			if got, err := find(); got != c.want || !errors.Is(err, c.wantError) {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.wantError)
			}
		})
	}
}
