package ref

// Batch normalisation (Ioffe & Szegedy 2015) over the N*H*W values of each of
// d.IC channels; d.OC is not used.

// Moments writes mean and biased variance of each channel of y.
func Moments(d Dims, mean, variance []float64, y []float32) {
	size := d.H * d.W
	for c := range d.IC {
		var sum, sq float64
		for n := range d.N {
			for _, v := range y[(n*d.IC+c)*size:][:size] {
				sum += float64(v)
			}
		}
		m := sum / float64(d.N*size)
		for n := range d.N {
			for _, v := range y[(n*d.IC+c)*size:][:size] {
				sq += (float64(v) - m) * (float64(v) - m)
			}
		}
		mean[c], variance[c] = m, sq/float64(d.N*size)
	}
}

// PivotSums writes for each channel the pivot k (its first value), Σ(y-k) and
// Σ(y-k)².
func PivotSums(d Dims, pivot, sum, sumSq, y []float32) {
	size := d.H * d.W
	for c := range d.IC {
		k := y[c*size]
		var s, q float64
		for n := range d.N {
			for _, v := range y[(n*d.IC+c)*size:][:size] {
				t := float64(v) - float64(k)
				s += t
				q += t * t
			}
		}
		pivot[c], sum[c], sumSq[c] = k, float32(s), float32(q)
	}
}

// BNSums writes for each channel Σdz and Σdz·(y-mean), where dz is the
// gradient da passed back through the ReLU of act: da where act passes, else 0.
func BNSums(d Dims, sum, sumY, y []float32, act Act, da, mean []float32) {
	size := d.H * d.W
	for c := range d.IC {
		var s, q float64
		for n := range d.N {
			for i := (n*d.IC + c) * size; i < (n*d.IC+c+1)*size; i++ {
				if act.Passes(c, y[i]) {
					s += float64(da[i])
					q += float64(da[i]) * (float64(y[i]) - float64(mean[c]))
				}
			}
		}
		sum[c], sumY[c] = float32(s), float32(q)
	}
}

// BNBwd turns da in place into the gradient of y: ca*dz + cy*y + c0 with one
// coefficient of each per channel.
func BNBwd(d Dims, da, y []float32, act Act, ca, cy, c0 []float32) {
	size := d.H * d.W
	for p := range d.N * d.IC {
		c := p % d.IC
		for i := p * size; i < (p+1)*size; i++ {
			var dz float64
			if act.Passes(c, y[i]) {
				dz = float64(da[i])
			}
			da[i] = float32(float64(ca[c])*dz + float64(cy[c])*float64(y[i]) + float64(c0[c]))
		}
	}
}
