// Package program builds unet for the tools of bench, which measure and break the
// program that users run, and tells how much memory a process took.
package program

import (
	"fmt"
	"os"
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

// Bring copies the program to dir and returns where it is: another user, as whom
// a tool may run it, may not reach the folder that it came from.
func Bring(program, dir string) (string, error) {
	from, err := exec.LookPath(program)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "unet")
	if err := os.WriteFile(to, b, 0o755); err != nil {
		return "", err
	}
	return to, os.Chmod(to, 0o755) // whatever the umask
}

// Settings are those of a training of less than a second, for --config.
func Settings(epochs, steps int) string {
	return fmt.Sprintf(`kind: nuclei
depth: 2
width: 16
threshold: 0.5
seed: 7
batch: 2
epochs: %d
steps: %d
augment: {size: 32}
balance: 1
loss:
  foreground: {scale: 1, bce: 1, dice: 1}
  border: {scale: 1, bce: 1}
  distance: {scale: 1, bce: 1}
lr: 0.002
clip: 10
ema: 0.9
schedule: cosine
monitor: val_loss
validate-every: 2
`, epochs, steps)
}
