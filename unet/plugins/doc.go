// Package plugins holds small integrations of unet into the programs that
// people work with: macros, scripts and modules that call the binary. They are
// part of the program, so that they fit its version and need no network; each
// has the version it was made for inside.
package plugins
