// Package program builds unet for the tools of bench, which measure and break
// the program that users run.
package program

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds unet from the sources around the current folder and puts it into
// dir. It returns the program's path.
func Build(dir string) (string, error) {
	program := filepath.Join(dir, "unet")
	if out, err := exec.Command("go", "build", "-o", program, "unet/cli/unet").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build unet: %w\n%s", err, out)
	}
	return program, nil
}
