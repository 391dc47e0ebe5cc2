// Command libunet is segmentation as a C library. unet.h describes it.
//
//	go build -buildmode=c-shared -o libunet.so ./unet/libunet
//	go build -buildmode=c-archive -o libunet.a ./unet/libunet
package main

/*
#include <stdlib.h>
#define UNET_NO_PROTOTYPES // cgo writes its own, without const
#include "unet.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/cgo"
	"strings"
	"sync"
	"unsafe"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/segment"
	"unet/unet/weights"
)

func main() {} // a C library has none, Go wants one

// segmenter is what a handle stands for.
type segmenter struct {
	engine *core.Engine
	model  *unet.Model
	*segment.Segmenter
}

// mistake is a call that makes no sense.
type mistake string

func (m mistake) Error() string { return string(m) }

var version = sync.OnceValue(func() *C.char { return C.CString(unet.Version) })

//export unet_version
func unet_version() *C.char { return version() }

// report turns an error, or a panic, into a status and a text.
func report(err *error, text **C.char) C.int {
	if r := recover(); r != nil {
		*err = fmt.Errorf("internal error: %v", r)
	}
	if *err == nil {
		return C.UNET_OK
	}
	if text != nil {
		line := strings.Join(strings.Fields((*err).Error()), " ")
		var hint interface{ Hint() string }
		if errors.As(*err, &hint) && hint.Hint() != "" {
			line += " (" + hint.Hint() + ")"
		}
		*text = C.CString(line)
	}
	return statusOf(*err)
}

// statusOf is the status that stands for an error.
func statusOf(err error) C.int {
	as := func(target any) bool { return errors.As(err, target) }
	switch {
	case as(new(mistake)):
		return C.UNET_USAGE
	case as(new(*unet.ModelError)):
		return C.UNET_MODEL
	case as(new(*segment.InputError)), as(new(*imageio.LimitError)), as(new(*imageio.FormatError)), as(new(*imageio.UnsupportedError)):
		return C.UNET_INPUT
	}
	return C.UNET_FAILURE
}

//export unet_open
func unet_open(model *C.char, threads C.int32_t, out *C.unet_segmenter, text **C.char) (status C.int) {
	var err error
	defer func() { status = report(&err, text) }()
	if out == nil || threads < 0 {
		err = mistake("unet_open: nowhere to put the segmenter, or fewer than no threads")
		return
	}
	*out = 0
	s, err := open(model, int(threads))
	if err == nil {
		*out = C.unet_segmenter(cgo.NewHandle(s))
	}
	return
}

func open(name *C.char, threads int) (*segmenter, error) {
	var m *unet.Model
	var err error
	if name == nil {
		m, err = weights.Default()
	} else if m, err = unet.LoadModel(C.GoString(name)); err != nil {
		var model *unet.ModelError
		if !errors.As(err, &model) {
			err = &unet.ModelError{Name: C.GoString(name), Problem: err.Error()}
		}
	}
	if err != nil {
		return nil, err
	}
	core.SpareProcs()
	e, err := core.NewEngine("", threads)
	if err != nil {
		m.Params.Free()
		return nil, err
	}
	s, err := segment.New(e, m, segment.Options{})
	if err != nil {
		e.Close()
		m.Params.Free()
		return nil, err
	}
	return &segmenter{e, m, s}, nil
}

//export unet_segment
func unet_segment(handle C.unet_segmenter, image *C.unet_image, out *C.unet_result, text **C.char) (status C.int) {
	var err error
	defer func() { status = report(&err, text) }()
	if handle == 0 || image == nil || out == nil {
		err = mistake("unet_segment: no segmenter, no image, or nowhere to put the result")
		return
	}
	*out = C.unet_result{}
	img, err := read(image)
	if err != nil {
		return
	}
	r, err := cgo.Handle(handle).Value().(*segmenter).Image(context.Background(), img)
	if err == nil {
		*out = write(r, img)
	}
	return
}

// most pixels of an image: larger ones are for `unet predict`, which works in
// bands.
const most = 1 << 28

// read copies the caller's samples.
func read(c *C.unet_image) (*imageio.Image, error) {
	w, h, n := int(c.width), int(c.height), int(c.channels)
	switch {
	case c.pixels == nil || w < 1 || h < 1 || w > most/h:
		return nil, mistake(fmt.Sprintf("an image of %d x %d", w, h))
	case n != 1 && n != 3:
		return nil, mistake(fmt.Sprintf("an image of %d channels: 1 or 3 are possible", n))
	case !(c.pixel_size >= 0):
		return nil, mistake("a pixel size below 0")
	}
	img := imageio.NewImage(w, h, n)
	img.PixelSize = imageio.PixelSize{X: float64(c.pixel_size), Y: float64(c.pixel_size)}
	switch c.sample {
	case C.UNET_UINT8:
		img.Bits = 8
		planes(img, unsafe.Slice((*uint8)(c.pixels), w*h*n))
	case C.UNET_UINT16:
		img.Bits = 16
		planes(img, unsafe.Slice((*uint16)(c.pixels), w*h*n))
	case C.UNET_FLOAT32:
		img.Bits, img.Float = 32, true
		planes(img, unsafe.Slice((*float32)(c.pixels), w*h*n))
	default:
		return nil, mistake(fmt.Sprintf("samples of type %d", c.sample))
	}
	return img, nil
}

// planes takes interleaved samples apart.
func planes[T uint8 | uint16 | float32](img *imageio.Image, src []T) {
	for i, v := range src {
		img.Pix[i%img.C*img.W*img.H+i/img.C] = float32(v)
	}
}

// write copies the result into memory of C.
func write(r *segment.Result, img *imageio.Image) C.unet_result {
	out := C.unet_result{width: C.int32_t(img.W), height: C.int32_t(img.H), count: C.int64_t(len(r.Nuclei)), scale: C.double(r.Scale)}
	out.labels = (*C.uint32_t)(C.malloc(C.size_t(4 * len(r.Labels.ID)))) // cgo's malloc never returns nil
	copy(unsafe.Slice((*uint32)(out.labels), len(r.Labels.ID)), r.Labels.ID)
	out.nuclei = (*C.unet_nucleus)(C.malloc(C.size_t(max(len(r.Nuclei), 1)) * C.sizeof_unet_nucleus))
	nuclei := unsafe.Slice(out.nuclei, len(r.Nuclei))
	for i := range nuclei {
		fill(&nuclei[i], &r.Nuclei[i])
	}
	return out
}

func fill(to *C.unet_nucleus, n *instance.Nucleus) {
	*to = C.unet_nucleus{
		id: C.uint32_t(n.ID), area: C.int64_t(n.Area), x: C.double(n.X), y: C.double(n.Y),
		x0: C.int32_t(n.X0), y0: C.int32_t(n.Y0), x1: C.int32_t(n.X1), y1: C.int32_t(n.Y1),
		perimeter: C.double(n.Perimeter), major_axis: C.double(n.Major), minor_axis: C.double(n.Minor),
		orientation: C.double(n.Orientation), eccentricity: C.double(n.Eccentricity), solidity: C.double(n.Solidity),
		circularity: C.double(n.Circularity), equivalent_diameter: C.double(n.EquivalentDiameter),
		feret_max: C.double(n.FeretMax), confidence: C.double(n.Confidence),
	}
	if n.Edge {
		to.edge = 1
	}
	for c := range min(len(n.Channels), len(to.mean)) {
		to.mean[c] = C.double(n.Channels[c].Mean)
	}
}

//export unet_free_result
func unet_free_result(r *C.unet_result) {
	if r != nil {
		C.free(unsafe.Pointer(r.labels))
		C.free(unsafe.Pointer(r.nuclei))
		*r = C.unet_result{}
	}
}

//export unet_free
func unet_free(text *C.char) { C.free(unsafe.Pointer(text)) }

//export unet_close
func unet_close(handle C.unet_segmenter) {
	if handle == 0 {
		return
	}
	h := cgo.Handle(handle)
	s := h.Value().(*segmenter)
	h.Delete()
	s.Close()
	s.engine.Close()
	s.model.Params.Free()
}
