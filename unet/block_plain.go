package unet

import "unet/core"

// plainBlock is two 3x3 convolutions.
func plainBlock(n *net, name string, x source, out core.Tensor) {
	mid := n.Tensor(name+".1", out.C, out.H, out.W)
	n.conv(n.layer(name, 1), x, mid)
	n.Conv(n.layer(name, 2), mid, out)
}
