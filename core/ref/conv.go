package ref

// Conv3x3 is the 3x3 convolution with stride 1 and zero padding 1 of act(src):
//
//	dst[n][o][y][x] = bias[o] + Σ weight[o][i][ky][kx] · act(src)[n][i][y+ky-1][x+kx-1]
//
// then max(·, 0) if relu. weight is [OC][IC][3][3]; bias may be nil.
func Conv3x3(d Dims, dst, src []float32, act Act, weight, bias []float32, relu bool) {
	size := d.H * d.W
	a := activated(act, src, d.N, d.IC, size)
	row := make([]float64, d.W)
	for n := range d.N {
		for o := range d.OC {
			for y := range d.H {
				clear(row)
				if bias != nil {
					for x := range row {
						row[x] = float64(bias[o])
					}
				}
				for i := range d.IC {
					for ky := range 3 {
						if y+ky-1 < 0 || y+ky-1 >= d.H {
							continue
						}
						in := a[((n*d.IC+i)*d.H+y+ky-1)*d.W:][:d.W]
						for kx := range 3 {
							addShifted(row, in, weight[(o*d.IC+i)*9+ky*3+kx], kx-1)
						}
					}
				}
				out := dst[((n*d.OC+o)*d.H+y)*d.W:]
				for x, v := range row {
					out[x] = float32(v)
					if relu {
						out[x] = max(out[x], 0)
					}
				}
			}
		}
	}
}

// addShifted adds w*in[x+shift] to row[x] wherever in has that element.
func addShifted(row []float64, in []float32, w float32, shift int) {
	for x := max(0, -shift); x < min(len(row), len(row)-shift); x++ {
		row[x] += float64(w) * float64(in[x+shift])
	}
}

// Conv3x3Dgrad is the adjoint of Conv3x3 (without act, bias and ReLU) in src:
//
//	dsrc[n][i][y][x] = Σ weight[o][i][ky][kx] · dy[n][o][y-ky+1][x-kx+1]
func Conv3x3Dgrad(d Dims, dsrc, dy, weight []float32) {
	Conv3x3(Dims{d.N, d.OC, d.IC, d.H, d.W}, dsrc, dy, Act{}, Flip3x3(weight, d.OC, d.IC), nil, false)
}

// Flip3x3 turns weights [oc][ic][3][3] into those of the data gradient,
// [ic][oc][3][3]: the kernel rotated by 180 degrees, the channels swapped.
func Flip3x3(weight []float32, oc, ic int) []float32 {
	flipped := make([]float32, len(weight))
	for o := range oc {
		for i := range ic {
			for k := range 9 {
				flipped[(i*oc+o)*9+8-k] = weight[(o*ic+i)*9+k]
			}
		}
	}
	return flipped
}

// Conv3x3Wgrad is the adjoint of Conv3x3 in the weights:
//
//	dw[o][i][ky][kx] = Σ act(src)[n][i][y+ky-1][x+kx-1] · dy[n][o][y][x]
func Conv3x3Wgrad(d Dims, dw, src []float32, act Act, dy []float32) {
	size := d.H * d.W
	a := activated(act, src, d.N, d.IC, size)
	for o := range d.OC {
		for i := range d.IC {
			for k := range 9 {
				ky, kx := k/3-1, k%3-1
				var sum float64
				for n := range d.N {
					for y := max(0, -ky); y < min(d.H, d.H-ky); y++ {
						in := a[((n*d.IC+i)*d.H+y+ky)*d.W:]
						out := dy[((n*d.OC+o)*d.H+y)*d.W:]
						for x := max(0, -kx); x < min(d.W, d.W-kx); x++ {
							sum += float64(in[x+kx]) * float64(out[x])
						}
					}
				}
				dw[(o*d.IC+i)*9+k] = float32(sum)
			}
		}
	}
}

// TConv2x2 is the transposed 2x2 convolution with stride 2 of act(src), whose
// output has 2H x 2W pixels:
//
//	dst[n][o][2y+ky][2x+kx] = bias[o] + Σ weight[i][o][ky][kx] · act(src)[n][i][y][x]
//
// weight is [IC][OC][2][2] as in PyTorch; bias may be nil.
func TConv2x2(d Dims, dst, src []float32, act Act, weight, bias []float32) {
	a := activated(act, src, d.N, d.IC, d.H*d.W)
	row := make([]float64, 2*d.W)
	for n := range d.N {
		for o := range d.OC {
			for y := range 2 * d.H {
				clear(row)
				if bias != nil {
					for x := range row {
						row[x] = float64(bias[o])
					}
				}
				for i := range d.IC {
					in := a[((n*d.IC+i)*d.H+y/2)*d.W:]
					w := weight[(i*d.OC+o)*4+y%2*2:]
					for x := range d.W {
						row[2*x] += float64(w[0]) * float64(in[x])
						row[2*x+1] += float64(w[1]) * float64(in[x])
					}
				}
				out := dst[((n*d.OC+o)*2*d.H+y)*2*d.W:]
				for x, v := range row {
					out[x] = float32(v)
				}
			}
		}
	}
}

// TConv2x2Dgrad is the adjoint of TConv2x2 (without act and bias) in src:
//
//	dsrc[n][i][y][x] = Σ weight[i][o][ky][kx] · dy[n][o][2y+ky][2x+kx]
func TConv2x2Dgrad(d Dims, dsrc, dy, weight []float32) {
	for n := range d.N {
		for i := range d.IC {
			for y := range d.H {
				for x := range d.W {
					var sum float64
					for o := range d.OC {
						for k := range 4 {
							sum += float64(weight[(i*d.OC+o)*4+k]) *
								float64(dy[((n*d.OC+o)*2*d.H+2*y+k/2)*2*d.W+2*x+k%2])
						}
					}
					dsrc[((n*d.IC+i)*d.H+y)*d.W+x] = float32(sum)
				}
			}
		}
	}
}

// TConv2x2Wgrad is the adjoint of TConv2x2 in the weights [IC][OC][2][2] and
// in the bias [OC]:
//
//	dw[i][o][ky][kx] = Σ act(src)[n][i][y][x] · dy[n][o][2y+ky][2x+kx]
//	db[o] = Σ dy[n][o][y][x]
func TConv2x2Wgrad(d Dims, dw, db, src []float32, act Act, dy []float32) {
	a := activated(act, src, d.N, d.IC, d.H*d.W)
	size := 4 * d.H * d.W
	for o := range d.OC {
		for i := range d.IC {
			for k := range 4 {
				var sum float64
				for n := range d.N {
					for y := range d.H {
						in := a[((n*d.IC+i)*d.H+y)*d.W:]
						out := dy[((n*d.OC+o)*2*d.H+2*y+k/2)*2*d.W:]
						for x := range d.W {
							sum += float64(in[x]) * float64(out[2*x+k%2])
						}
					}
				}
				dw[(i*d.OC+o)*4+k] = float32(sum)
			}
		}
		var sum float64
		for n := range d.N {
			for _, v := range dy[(n*d.OC+o)*size:][:size] {
				sum += float64(v)
			}
		}
		db[o] = float32(sum)
	}
}

// Head is the 1x1 convolution of act(src) to OC maps: weight [OC][IC], bias [OC].
func Head(d Dims, logits, src []float32, act Act, weight, bias []float32) {
	size := d.H * d.W
	a := activated(act, src, d.N, d.IC, size)
	for n := range d.N {
		for o := range d.OC {
			for p := range size {
				sum := float64(bias[o])
				for i := range d.IC {
					sum += float64(weight[o*d.IC+i]) * float64(a[(n*d.IC+i)*size+p])
				}
				logits[(n*d.OC+o)*size+p] = float32(sum)
			}
		}
	}
}

// HeadBwd is the adjoint of Head: dsrc is the gradient of act(src), dw
// [OC][IC] and db [OC] those of weight and bias.
func HeadBwd(d Dims, dsrc, dw, db, src []float32, act Act, weight, dlogits []float32) {
	size := d.H * d.W
	a := activated(act, src, d.N, d.IC, size)
	for n := range d.N {
		for i := range d.IC {
			for p := range size {
				var sum float64
				for o := range d.OC {
					sum += float64(weight[o*d.IC+i]) * float64(dlogits[(n*d.OC+o)*size+p])
				}
				dsrc[(n*d.IC+i)*size+p] = float32(sum)
			}
		}
	}
	for o := range d.OC {
		var bias float64
		for n := range d.N {
			for p := range size {
				bias += float64(dlogits[(n*d.OC+o)*size+p])
			}
		}
		db[o] = float32(bias)
		for i := range d.IC {
			var sum float64
			for n := range d.N {
				for p := range size {
					sum += float64(a[(n*d.IC+i)*size+p]) * float64(dlogits[(n*d.OC+o)*size+p])
				}
			}
			dw[o*d.IC+i] = float32(sum)
		}
	}
}
