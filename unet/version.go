package unet

// Version is the version of the program and of the library of kernels:
// CMakeLists.txt and bench/release read this line.
const Version = "0.2.0"
