package metrics

// Outcome says what became of a nucleus.
type Outcome uint8

// The outcomes. A true nucleus is Matched, Missed, Merged, Split or Inexact;
// a predicted one is Matched, Invented, Merged, Split or Inexact.
const (
	// Matched: it has a partner of sufficient IoU.
	Matched Outcome = iota
	// Missed: a true nucleus that nothing describes.
	Missed
	// Invented: a predicted nucleus where there is none.
	Invented
	// Merged: a predicted nucleus that covers most of two or more true
	// ones, and the true ones; unless matched.
	Merged
	// Split: a true nucleus that holds most of two or more predicted ones,
	// and the predicted ones; unless matched.
	Split
	// Inexact: a true and a predicted nucleus that mean each other, but
	// with too small an IoU.
	Inexact
)

// String returns the outcome's name.
func (o Outcome) String() string {
	return [...]string{"matched", "missed", "invented", "merged", "split", "inexact"}[o]
}

// Errors returns the outcome of every true and predicted nucleus, by number,
// with matches at IoU >= tau. One nucleus covers another when it holds more
// than half of its pixels.
func (o *Overlap) Errors(tau float64) (truth, pred map[uint32]Outcome) {
	nt, np := len(o.truth.ids), len(o.pred.ids)
	ts, ps := make([]Outcome, nt), make([]Outcome, np)
	matchedT, matchedP := make([]bool, nt), make([]bool, np)
	for _, m := range o.match(tau) {
		matchedT[m.t], matchedP[m.p] = true, true
	}
	// How many true nuclei each predicted one covers, and the other way.
	covers, holds := make([]int, np), make([]int, nt)
	for _, q := range o.pairs {
		if 2*q.inter > o.truth.area[q.t] {
			covers[q.p]++
		}
		if 2*q.inter > o.pred.area[q.p] {
			holds[q.t]++
		}
	}
	for i := range ts {
		ts[i] = Missed
		if matchedT[i] {
			ts[i] = Matched
		}
	}
	for i := range ps {
		ps[i] = Invented
		if matchedP[i] {
			ps[i] = Matched
		}
	}
	for _, q := range o.pairs {
		mostT, mostP := 2*q.inter > o.truth.area[q.t], 2*q.inter > o.pred.area[q.p]
		set := func(v Outcome) {
			if !matchedT[q.t] && worse(v, ts[q.t]) {
				ts[q.t] = v
			}
			if !matchedP[q.p] && worse(v, ps[q.p]) {
				ps[q.p] = v
			}
		}
		switch {
		case mostT && covers[q.p] > 1:
			set(Merged)
		case mostP && holds[q.t] > 1:
			set(Split)
		case (mostT || mostP) && !matchedT[q.t] && !matchedP[q.p]:
			set(Inexact)
		}
	}
	truth, pred = make(map[uint32]Outcome, nt), make(map[uint32]Outcome, np)
	for i, v := range ts {
		truth[o.truth.ids[i]] = v
	}
	for i, v := range ps {
		pred[o.pred.ids[i]] = v
	}
	return truth, pred
}

// worse says that a explains an error more than b does: a merger before a
// split before an inexact outline before nothing.
func worse(a, b Outcome) bool {
	weight := [...]int{Matched: 0, Missed: 0, Invented: 0, Inexact: 1, Split: 2, Merged: 3}
	return weight[a] > weight[b]
}
