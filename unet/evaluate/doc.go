// Package evaluate measures models on prepared sets: scores of pixels and
// nuclei, thresholds tuned on the validation split, the cost of 8-bit products,
// and tables of nuclei scored by the rules of the Data Science Bowl.
package evaluate
