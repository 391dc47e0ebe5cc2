// Unet finds nuclei in microscopy images. See `unet help`.
package main

import (
	"os"

	"unet/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
