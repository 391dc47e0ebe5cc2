package segment

import (
	"runtime"

	"unet/unet/imageio"
)

// DefaultMemory is half of the memory that is free, in bytes, where the system
// tells, or 4 GiB.
func DefaultMemory() int64 {
	_, free := SystemMemory()
	if free == 0 {
		free = 8 << 30
	}
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" {
		free = min(free, 2<<30)
	}
	return max(free/2, 512<<20)
}

// The memory that every job has at least, and their largest number, where the
// user does not say otherwise.
const (
	jobBytes = 512 << 20
	mostJobs = 16
)

// defaultJobs is one for each thread, as memory allows.
func defaultJobs(threads int, memory int64) int {
	return max(2, min(threads, mostJobs, int(memory/jobBytes)))
}

// tooLarge reports whether a plane is done in bands: whole it would take more
// than its share of the memory, together with the decoded file.
func (r *run) tooLarge(p PlaneRef, decoded int64) bool {
	if r.model.Card.Input.Size > 0 {
		return false
	}
	return p.samples() > imageio.MaxSamples || r.planeBytes(p)+decoded > r.memory/int64(r.jobs+2)
}

// writesPerJob is how many small planes are written at the same time for every
// job: writing waits for the disk more than it computes.
const writesPerJob = 4

// writeShare is how many of the writesPerJob places of a job a plane takes while
// it is written, by the memory it holds.
func (r *run) writeShare(p PlaneRef, decoded int64) int64 {
	share := r.memory / int64(r.jobs+2) / writesPerJob
	return min(1+(r.planeBytes(p)+decoded)/share, writesPerJob)
}

// planeBytes is the memory that a plane takes on its way.
func (s *Segmenter) planeBytes(p PlaneRef) int64 {
	heads := len(s.model.Card.Arch.Heads)
	return int64(p.Info.W)*int64(p.Info.H)*int64(4*heads+40) + 8*p.samples()
}

// samples are those of the plane, or of the channels measured with it.
func (p PlaneRef) samples() int64 {
	return int64(p.Info.W) * int64(p.Info.H) * int64(max(p.Info.C, len(p.Channels)))
}
