// Package augment turns a labelled image into a randomly transformed training
// patch and its target maps.
//
// A Policy says which transformations may happen and how strongly;
// Policy.Patch draws one patch from a rand source and nothing else, so the
// same seed gives the same bytes. Targets turns the patch's instance numbers
// into the maps the network learns. Sampler decides which image a training
// position sees.
package augment
