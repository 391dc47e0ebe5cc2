package unet

import (
	"unet/unet/imageio"
	"unet/unet/instance"
)

// Separate returns the labelled nuclei of maps, by the card's thresholds.
func (c Card) Separate(m instance.Maps) *imageio.Labels {
	p := c.Instance
	if c.Kind == Paper {
		p.Foreground = c.Threshold
	}
	return instance.Separate(m, p)
}
