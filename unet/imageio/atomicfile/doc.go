// Package atomicfile writes files that appear under their names whole or not
// at all, whatever happens in between, and clears up after processes that were
// killed in the middle.
package atomicfile
