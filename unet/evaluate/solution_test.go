package evaluate

import (
	"bytes"
	"strings"
	"testing"

	"unet/unet/formats"
)

// FuzzSolution: a table of true nuclei and one of predictions are scored or
// refused in one line.
func FuzzSolution(f *testing.F) {
	const head = "ImageId,EncodedPixels,Height,Width,Usage\n"
	f.Add([]byte(head+"a,1 3 9 1,9,9,Public\na,50 3,9,9,Public\nb,,5,5,Ignored\n"), []byte("ImageId,EncodedPixels\na,1 4\nc,\n"))
	f.Add([]byte(head+"a,1 3,0,9,x\n"), []byte(head))
	f.Add([]byte("ImageId,EncodedPixels\na,1 3\n"), []byte(""))
	f.Add([]byte(head+"a,1 3,9223372036854775807,2,Public\n"), []byte("ImageId,EncodedPixels\na,79 9\n"))
	f.Fuzz(func(t *testing.T, solution, predictions []byte) {
		var tables [2][]formats.Encoded
		for i, b := range [][]byte{solution, predictions} {
			var err error
			if tables[i], err = formats.ReadRLE(bytes.NewReader(b)); err != nil {
				oneLine(t, err)
				return
			}
		}
		for _, e := range tables[0] {
			if e.W > 1<<16 || e.H > 1<<16 || e.W*e.H > 1<<20 {
				return // what the limits allow and a fuzzer's memory does not
			}
		}
		s, err := ScoreSolution(tables[0], tables[1])
		if err != nil {
			oneLine(t, err)
			return
		}
		if s.Images != len(s.List) || s.Images+s.Ignored != len(tables[0]) {
			t.Errorf("%d images and %d ignored of %d", s.Images, s.Ignored, len(tables[0]))
		}
		for _, im := range s.List {
			if !(im.MeanAP >= 0 && im.MeanAP <= 1 && im.AP50 >= 0 && im.AP50 <= 1) {
				t.Errorf("image %q has scores %v and %v", im.ID, im.MeanAP, im.AP50)
			}
		}
	})
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}
