// Package metrics scores segmentations: pixel by pixel, and nucleus by nucleus
// in the terms of the field (average precision over IoU thresholds, F1,
// panoptic quality, aggregated Jaccard index, the Data Science Bowl's score).
//
// Ratios of nothing to nothing are 1: finding nothing where there is nothing
// is perfect. Any other ratio with no hits is 0.
package metrics
