package unet

import "unet/core"

// residualBlock is two 3x3 convolutions and, added to their result before the last
// ReLU, the shortcut (He et al. 2016; in a U-Net Zhang et al. 2018). The widths of
// input and output differ in every block of a U-Net, so the shortcut is always a
// 1x1 convolution.
func residualBlock(n *net, name string, x source, out core.Tensor) {
	l := n.named(name+".shortcut", name+".norm0")
	var shortcut *core.Shortcut
	if x.image != nil {
		shortcut = n.FirstShortcut(l, *x.image, out)
	} else {
		shortcut = n.Shortcut(l, x.Tensor, out)
	}
	mid := n.Tensor(name+".1", out.C, out.H, out.W)
	n.conv(n.layer(name, 1), x, mid)
	n.Residual(n.layer(name, 2), mid, shortcut, out)
}
