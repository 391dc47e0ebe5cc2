package train

import (
	"cmp"
	"fmt"
	"strings"

	"unet/core"
	"unet/unet/dataset"
	"unet/unet/imageio"
)

// programBytes are for the program itself, its threads and its garbage.
const programBytes = 128 << 20

// need estimates the bytes that the run takes with another batch, perhaps, and
// perhaps computing activations a second time.
func (o *Options) need(batch int, recompute bool) (int64, error) {
	c := o.Config
	side := c.Augment.Size
	network, err := c.Arch.TrainingMemory(o.Engine, side, core.Options{Batch: batch, MicroBatches: c.MicroBatches, Peers: o.Peers, Recompute: recompute}, c.losses())
	if err != nil {
		return 0, err
	}
	bytes := programBytes + int64(network)
	// Batches drawn ahead: input, targets and weights.
	_, drawn := c.share(o.Peers)
	drawn = drawn * batch / c.Batch
	bytes += 4 * ahead * int64(drawn) * int64(side) * int64(side) * int64(c.Arch.Channels+2*len(c.Arch.Heads))
	// The images of a split, as far as they are kept in memory, and for every drawing
	// thread the largest and one to paste from: as they are, normalised, and labels.
	var largest int64
	for _, split := range []string{dataset.Train, dataset.Val} {
		var kept int64
		for _, i := range o.Set.Split(split) {
			e := &o.Set.Entries[i]
			image := 4 * int64(e.W) * int64(e.H) * int64(2*e.C+2)
			kept, largest = kept+image, max(largest, image)
		}
		bytes += min(kept, inMemory)
	}
	bytes += 2 * int64(o.Engine.Threads()+1) * largest
	if c.Rehearsal > 0 { // in colour, with labels
		bytes += 4 * int64(rehearsed) * rehearsedSide * rehearsedSide * (3 + 1)
	}
	scoring, err := o.needToScore()
	return bytes + scoring, err
}

// needToScore estimates the bytes that it takes to predict the validation images,
// which are whole ones, and those to rehearse.
func (o *Options) needToScore() (int64, error) {
	sizes := map[[2]int]bool{}
	for _, i := range o.Set.Split(dataset.Val) {
		e := &o.Set.Entries[i]
		sizes[[2]int{e.W, e.H}] = true
	}
	if o.Config.Rehearsal > 0 {
		sizes[[2]int{rehearsedSide, rehearsedSide}] = true
	}
	most := 0
	for size := range sizes {
		n, err := o.Config.Arch.PredictionMemory(o.Engine, size[0], size[1])
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return int64(most), nil
}

// fits estimates the memory of the run and fails, before anything is read or
// written, where there is less: it tells what would do. Where it takes more than
// is free, the observer is warned.
func (o *Options) fits(observer Observer) (need int64, err error) {
	if need, err = o.need(o.Config.Batch, o.Recompute); err != nil {
		return 0, err
	}
	there := o.Memory
	if o.Memory == 0 || need <= o.Memory {
		if there = o.Free; o.Free == 0 || need <= o.Free {
			return need, nil
		}
	}
	advice, option, err := o.smaller(there)
	if err != nil {
		return 0, err
	}
	what := fmt.Sprintf("training takes about %s of memory, and %s is", imageio.BytesText(need), imageio.BytesText(there))
	if there == o.Memory {
		return 0, &core.MemoryError{Problem: what + " available", Advice: advice, Option: option}
	}
	observer.Warn(what + " free: " + advice)
	return need, nil
}

// smaller tells which changes of the run take no more than so many bytes, and the
// setting that they change most.
func (o *Options) smaller(bytes int64) (advice, option string, err error) {
	var ways []string
	for _, recompute := range []bool{false, true} {
		if o.Recompute && !recompute {
			continue
		}
		for batch := o.Config.Batch; batch > 0; batch /= 2 {
			if batch == o.Config.Batch && recompute == o.Recompute {
				continue
			}
			if batch < o.Config.Batch && o.Resume || batch%o.Config.MicroBatches != 0 { // settings of a resumed run stay
				break
			}
			need, err := o.need(batch, recompute)
			if err != nil {
				return "", "", err
			}
			if need > bytes {
				continue
			}
			var way []string
			if recompute && !o.Recompute {
				way, option = append(way, "recompute"), cmp.Or(option, "recompute")
			}
			if batch < o.Config.Batch {
				way, option = append(way, fmt.Sprintf("batch %d", batch)), "batch"
			}
			ways = append(ways, fmt.Sprintf("%s with %s", imageio.BytesText(need), strings.Join(way, " and ")))
			break
		}
	}
	if len(ways) == 0 {
		return "a smaller network (width, depth) or smaller images take less", "", nil
	}
	return "it takes " + strings.Join(ways, ", "), option, nil
}
