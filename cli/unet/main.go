// Unet finds nuclei in microscopy images. See `unet help`.
package main

import (
	"os"

	"unet/cli"
	"unet/core"
)

func main() {
	core.SpareProcs()
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
