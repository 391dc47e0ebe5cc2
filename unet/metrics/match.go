package metrics

import (
	"cmp"
	"math"
	"slices"

	"unet/unet/imageio"
)

// Overlap is what two label images of one size share: the areas of their
// objects and the pixels of every overlapping pair.
type Overlap struct {
	truth, pred objects
	pairs       []pair // by truth, then prediction
}

// objects are the objects of one label image in order of their numbers.
type objects struct {
	ids  []uint32
	area []int
}

// pair is a true and a predicted object, as indices, that share pixels.
type pair struct {
	t, p  int
	inter int
	iou   float64
}

// Compare counts the overlaps of two label images.
func Compare(truth, pred *imageio.Labels) (*Overlap, error) {
	if err := sameSize(truth, pred); err != nil {
		return nil, err
	}
	o := &Overlap{}
	var rankT, rankP map[uint32]int
	o.truth, rankT = rank(truth)
	o.pred, rankP = rank(pred)
	shared := map[[2]uint32]int{}
	n := len(truth.ID)
	for i := 0; i < n; {
		t, p := truth.ID[i], pred.ID[i]
		start := i
		for i++; i < n && truth.ID[i] == t && pred.ID[i] == p; i++ {
		}
		if t != 0 && p != 0 {
			shared[[2]uint32{t, p}] += i - start
		}
	}
	o.pairs = make([]pair, 0, len(shared))
	for key, inter := range shared {
		t, p := rankT[key[0]], rankP[key[1]]
		union := o.truth.area[t] + o.pred.area[p] - inter
		o.pairs = append(o.pairs, pair{t, p, inter, float64(inter) / float64(union)})
	}
	slices.SortFunc(o.pairs, func(a, b pair) int { return cmp.Or(a.t-b.t, a.p-b.p) })
	return o, nil
}

// rank lists the objects of l and maps their numbers to their indices.
func rank(l *imageio.Labels) (objects, map[uint32]int) {
	areas := map[uint32]int{}
	n := len(l.ID)
	for i := 0; i < n; {
		v := l.ID[i]
		start := i
		for i++; i < n && l.ID[i] == v; i++ {
		}
		if v != 0 {
			areas[v] += i - start
		}
	}
	var o objects
	for id := range areas {
		o.ids = append(o.ids, id)
	}
	slices.Sort(o.ids)
	index := make(map[uint32]int, len(o.ids))
	for i, id := range o.ids {
		index[id] = i
		o.area = append(o.area, areas[id])
	}
	return o, index
}

// Pair is a true and a predicted nucleus that were matched.
type Pair struct {
	Truth, Pred uint32
	IoU         float64
}

// Match pairs true with predicted nuclei of IoU >= tau, each at most once, as
// StarDist's matching does: as many pairs as possible, and among those the
// assignment of the largest total IoU, in which pairs below tau count too
// though they are no match. tau is in (0, 1]. Pairs come in order of the true
// nuclei's numbers. Above 0.5 there is nothing to choose; below, the time is
// cubic in the size of the largest group of nuclei that overlap each other.
func (o *Overlap) Match(tau float64) []Pair {
	var out []Pair
	for _, m := range o.match(tau) {
		out = append(out, Pair{o.truth.ids[m.t], o.pred.ids[m.p], m.iou})
	}
	return out
}

func (o *Overlap) match(tau float64) []pair {
	usedT, usedP := make([]int, len(o.truth.ids)), make([]int, len(o.pred.ids))
	var out []pair
	conflict := false
	for _, q := range o.pairs {
		if q.iou >= tau {
			usedT[q.t]++
			usedP[q.p]++
			conflict = conflict || usedT[q.t] > 1 || usedP[q.p] > 1
			out = append(out, q)
		}
	}
	if !conflict {
		return out
	}
	out = out[:0]
	for _, g := range o.groups() {
		out = append(out, g.assign(tau)...)
	}
	slices.SortFunc(out, func(a, b pair) int { return a.t - b.t })
	return out
}

// group is a set of nuclei connected by overlaps.
type group struct {
	ts, ps []int // indices of the true and predicted nuclei
	pairs  []pair
}

// groups splits the overlaps into connected components.
func (o *Overlap) groups() []group {
	nt := len(o.truth.ids)
	parent := make([]int, nt+len(o.pred.ids))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for _, q := range o.pairs {
		a, b := find(q.t), find(nt+q.p)
		parent[max(a, b)] = min(a, b)
	}
	index := map[int]int{}
	var out []group
	for i := range parent {
		r := find(i)
		k, ok := index[r]
		if !ok {
			k = len(out)
			index[r] = k
			out = append(out, group{})
		}
		if i < nt {
			out[k].ts = append(out[k].ts, i)
		} else {
			out[k].ps = append(out[k].ps, i-nt)
		}
	}
	for _, q := range o.pairs {
		k := index[find(q.t)]
		out[k].pairs = append(out[k].pairs, q)
	}
	return out
}

// assign solves the group: minimise the sum of -(IoU >= tau) - IoU/(2n), n the
// larger possible number of pairs, so that a match outweighs all IoUs.
func (g group) assign(tau float64) []pair {
	if len(g.pairs) == 0 {
		return nil
	}
	rows, cols := len(g.ts), len(g.ps)
	swap := rows > cols
	if swap {
		rows, cols = cols, rows
	}
	atT, atP := map[int]int{}, map[int]int{}
	for i, t := range g.ts {
		atT[t] = i
	}
	for i, p := range g.ps {
		atP[p] = i
	}
	cost := make([]float64, rows*cols)
	which := make(map[int]pair, len(g.pairs))
	for _, q := range g.pairs {
		r, c := atT[q.t], atP[q.p]
		if swap {
			r, c = c, r
		}
		v := -q.iou / float64(2*rows)
		if q.iou >= tau {
			v--
		}
		cost[r*cols+c] = v
		which[r*cols+c] = q
	}
	var out []pair
	for r, c := range hungarian(cost, rows, cols) {
		if q, ok := which[r*cols+c]; ok && q.iou >= tau {
			out = append(out, q)
		}
	}
	return out
}

// hungarian returns for each row the column of a minimum-cost assignment of
// all rows; cost is row-major, rows <= cols. Kuhn and Munkres with potentials
// and shortest augmenting paths, O(rows² cols).
func hungarian(cost []float64, rows, cols int) []int {
	// Row and column 0 are sentinels; row[j] is the row assigned to column j.
	u, v := make([]float64, rows+1), make([]float64, cols+1)
	row, from := make([]int, cols+1), make([]int, cols+1)
	least, done := make([]float64, cols+1), make([]bool, cols+1)
	for i := 1; i <= rows; i++ {
		row[0] = i
		for j := range least {
			least[j], done[j] = math.Inf(1), false
		}
		j := 0
		for row[j] != 0 {
			done[j] = true
			i, delta, next := row[j], math.Inf(1), 0
			for k := 1; k <= cols; k++ {
				if done[k] {
					continue
				}
				if c := cost[(i-1)*cols+k-1] - u[i] - v[k]; c < least[k] {
					least[k], from[k] = c, j
				}
				if least[k] < delta {
					delta, next = least[k], k
				}
			}
			for k := range done {
				if done[k] {
					u[row[k]] += delta
					v[k] -= delta
				} else {
					least[k] -= delta
				}
			}
			j = next
		}
		for j != 0 {
			row[j] = row[from[j]]
			j = from[j]
		}
	}
	out := make([]int, rows)
	for j := 1; j <= cols; j++ {
		if row[j] != 0 {
			out[row[j]-1] = j - 1
		}
	}
	return out
}

// aji returns the numerator and denominator of the aggregated Jaccard index
// (Kumar et al., 2017): every true nucleus takes the predicted one of largest
// IoU, also one taken before; predicted nuclei never taken count as union.
func (o *Overlap) aji() (inter, union int64) {
	taken := make([]bool, len(o.pred.ids))
	k := 0
	for t, area := range o.truth.area {
		best := -1
		for ; k < len(o.pairs) && o.pairs[k].t == t; k++ {
			if best < 0 || o.pairs[k].iou > o.pairs[best].iou {
				best = k
			}
		}
		if best < 0 {
			union += int64(area)
			continue
		}
		q := o.pairs[best]
		taken[q.p] = true
		inter += int64(q.inter)
		union += int64(area + o.pred.area[q.p] - q.inter)
	}
	for p, area := range o.pred.area {
		if !taken[p] {
			union += int64(area)
		}
	}
	return inter, union
}
