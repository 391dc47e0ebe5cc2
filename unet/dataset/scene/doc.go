// Package scene draws synthetic fields of nuclei with their labels: sparse
// fields in the styles of the kinds of images (Field), and crowded tissue
// (Crowded), in which nuclei lie side by side and over each other, real ones
// cut from annotated images (Library) among generated ones.
//
// What a function draws follows from its arguments and the state of its
// random source alone.
package scene
