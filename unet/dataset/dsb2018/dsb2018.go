// Package dsb2018 finds the images of the Data Science Bowl 2018 (BBBC038) for
// tests and measurements on real data. They are not part of the repository:
// UNET_DATA names the folder that holds dsb2018/stage1_train.zip, and without it
// the folder shared/data beside the repository is tried.
package dsb2018

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Archive returns the path of stage1_train.zip. The test is skipped where there
// are no real data, and fails where they ought to be: UNET_DATA or a folder
// named shared beside the repository without them is a mistake.
func Archive(t testing.TB) string {
	t.Helper()
	name, err := find()
	if errors.Is(err, errNone) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	return name
}

// errNone begins with words that .ci/run counts.
var errNone = errors.New("no real data: set UNET_DATA to the folder that holds dsb2018/stage1_train.zip")

func find() (string, error) {
	data := os.Getenv("UNET_DATA")
	if data == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		shared := filepath.Join(filepath.Dir(root), "shared")
		if _, err := os.Stat(shared); errors.Is(err, fs.ErrNotExist) {
			return "", errNone
		}
		data = filepath.Join(shared, "data")
	}
	name := filepath.Join(data, "dsb2018", "stage1_train.zip")
	if _, err := os.Stat(name); err != nil {
		return "", fmt.Errorf("real data: %w", err)
	}
	return name, nil
}

// repository returns the folder of go.mod, at or above the current one.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod here or above: run inside the repository")
		}
	}
}
