// Package cli is the command line of unet: one file per command, nothing but
// flags, calls into the other packages, and output. Results go to standard
// output, everything else to standard error.
package cli
