//go:build !unix

package input

const nonblock = 0 // names of files do not lead to pipes here
