package unet

import "unet/core"

// transposedUp is a 2x2 transposed convolution of stride 2.
func transposedUp(n *net, name string, x, out core.Tensor) { n.TConv(name, x, out) }

// nearestUp enlarges by nearest neighbour and convolves (Odena et al. 2016), which
// leaves no checkerboard.
func nearestUp(n *net, name string, x, out core.Tensor) {
	n.Conv(n.named(name+".conv", name+".norm"), n.Upsample(name, x), out)
}
