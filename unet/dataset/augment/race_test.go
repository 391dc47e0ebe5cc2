//go:build race

package augment

// raceDetector says that tests run under the race detector, which allocates.
const raceDetector = true
