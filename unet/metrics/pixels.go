package metrics

import (
	"fmt"
	"math"

	"unet/unet/imageio"
)

// Pixels counts pixels by truth and prediction. Counts of images add up.
type Pixels struct {
	TP int64 `json:"tp"` // true positives
	FP int64 `json:"fp"` // false positives
	FN int64 `json:"fn"` // false negatives
	TN int64 `json:"tn"` // true negatives
}

// ComparePixels counts over two label images of one size; every number but 0
// is foreground.
func ComparePixels(truth, pred *imageio.Labels) (Pixels, error) {
	var p Pixels
	if err := sameSize(truth, pred); err != nil {
		return p, err
	}
	for i, t := range truth.ID {
		p.count(t != 0, pred.ID[i] != 0, 1)
	}
	return p, nil
}

func (p *Pixels) count(truth, pred bool, n int64) {
	switch {
	case truth && pred:
		p.TP += n
	case pred:
		p.FP += n
	case truth:
		p.FN += n
	default:
		p.TN += n
	}
}

// Merge adds the counts of q.
func (p *Pixels) Merge(q Pixels) {
	p.TP += q.TP
	p.FP += q.FP
	p.FN += q.FN
	p.TN += q.TN
}

// Accuracy is the share of pixels predicted rightly.
func (p Pixels) Accuracy() float64 { return ratio(p.TP+p.TN, p.TP+p.TN+p.FP+p.FN) }

// Precision is the share of predicted foreground that is foreground.
func (p Pixels) Precision() float64 { return share(p.TP, p.FP, p.FN) }

// Recall is the share of the foreground that was predicted.
func (p Pixels) Recall() float64 { return share(p.TP, p.FN, p.FP) }

// F1 is the harmonic mean of precision and recall, which is the Dice
// coefficient.
func (p Pixels) F1() float64 { return ratio(2*p.TP, 2*p.TP+p.FP+p.FN) }

// IoU is the Jaccard index of the foregrounds.
func (p Pixels) IoU() float64 { return ratio(p.TP, p.TP+p.FP+p.FN) }

// ratio is a/b, and 1 for nothing of nothing.
func ratio(a, b int64) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// share is hits/(hits+wrong). Without hits it is 0 as soon as there was
// anything wrong, on this side or the other.
func share(hits, wrong, other int64) float64 {
	if hits == 0 && other > 0 {
		return 0
	}
	return ratio(hits, hits+wrong)
}

func sameSize(truth, pred *imageio.Labels) error {
	if truth.W != pred.W || truth.H != pred.H {
		return fmt.Errorf("the true labels have %d x %d pixels and the predicted ones %d x %d; they must be of the same image at the same size", truth.W, truth.H, pred.W, pred.H)
	}
	return nil
}

// bins is a power of two so that every threshold k/bins is exact in float32.
const bins = 1024

// Curve counts pixels by truth and probability, from which the counts at every
// threshold k/1024 follow exactly. Curves of images merge; the zero value is
// empty.
type Curve struct{ background, foreground [bins]int64 }

// Add counts an image: its probabilities and its true labels, H rows of W
// values each.
func (c *Curve) Add(prob []float32, truth *imageio.Labels) {
	for i, v := range truth.ID {
		c.count(prob[i], v != 0)
	}
}

func (c *Curve) count(prob float32, truth bool) {
	// Bin k holds (k/bins, (k+1)/bins]; NaN and what is not above 0 can
	// pass no threshold but belong to the lowest bin's negatives.
	k := 0
	if prob > 0 {
		k = min(bins-1, int(math.Ceil(float64(prob)*bins))-1)
	}
	if truth {
		c.foreground[k]++
	} else {
		c.background[k]++
	}
}

// Merge adds the counts of d.
func (c *Curve) Merge(d *Curve) {
	for k := range bins {
		c.foreground[k] += d.foreground[k]
		c.background[k] += d.background[k]
	}
}

// Operating is the counts at one threshold: foreground is what has a
// probability above it.
type Operating struct {
	Threshold float64 `json:"threshold"`
	Pixels
}

// Points returns the operating points at the thresholds step/1024, 2*step/1024,
// … below 1, rising.
func (c *Curve) Points(step int) []Operating {
	var out []Operating
	var p Pixels
	for k := range bins {
		p.TP += c.foreground[k]
		p.FP += c.background[k]
	}
	for k := range bins {
		if k > 0 && k%step == 0 {
			out = append(out, Operating{float64(k) / bins, p})
		}
		p.TP -= c.foreground[k]
		p.FN += c.foreground[k]
		p.FP -= c.background[k]
		p.TN += c.background[k]
	}
	return out
}

// At returns the counts at the threshold, rounded to the nearest k/1024.
func (c *Curve) At(threshold float64) Pixels {
	k := int(math.Round(threshold * bins))
	k = min(max(k, 0), bins)
	var p Pixels
	for i := range bins {
		p.count(true, i >= k, c.foreground[i])
		p.count(false, i >= k, c.background[i])
	}
	return p
}

// Best returns the operating point of the highest F1, the lowest such
// threshold among equals.
func (c *Curve) Best() Operating {
	var best Operating
	for i, o := range c.Points(1) {
		if i == 0 || o.F1() > best.F1() {
			best = o
		}
	}
	return best
}

// CrossEntropy is the sum over pixels of the binary cross-entropy of prob, the
// probability of being inside any nucleus, with truth.
func CrossEntropy(prob []float32, truth *imageio.Labels) float64 {
	sum := 0.0
	for i, v := range prob {
		q := float64(v)
		if truth.ID[i] == 0 {
			q = 1 - q
		}
		sum -= math.Log(max(q, 1e-7))
	}
	return sum
}
