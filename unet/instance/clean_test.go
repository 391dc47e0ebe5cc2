package instance

import (
	"strings"
	"testing"
)

// fieldOf is a field of labels: digits, . for background and o for open.
func fieldOf(lines ...string) *field {
	f := newField(len(lines[0]), len(lines))
	for y, line := range lines {
		for x, c := range line {
			switch c {
			case '.':
			case 'o':
				f.lab[f.at(x, y)] = open
			default:
				f.lab[f.at(x, y)] = uint32(c - '0')
			}
		}
	}
	return f
}

// lines is the reverse of fieldOf.
func (f *field) lines() string {
	var b strings.Builder
	for y := range f.h {
		for x := range f.w {
			switch v := f.lab[f.at(x, y)]; v {
			case 0:
				b.WriteByte('.')
			case open:
				b.WriteByte('o')
			default:
				b.WriteByte('0' + byte(v))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestFillHoles: background goes to the one nucleus that its sides touch. Corners do not
// count, nor does background that reaches the edge, or what may still grow.
func TestFillHoles(t *testing.T) {
	for _, c := range []struct {
		name         string
		before, want []string
	}{
		{"a hole", []string{"111", "1.1", "111"}, []string{"111", "111", "111"}},
		{"another nucleus at a corner", []string{"112", "1.1", "311"}, []string{"112", "111", "311"}},
		{"another nucleus at a side", []string{"111", "1.2", "111"}, []string{"111", "1.2", "111"}},
		{"what may grow at a side", []string{"111", "1.o", "111"}, []string{"111", "1.o", "111"}},
		{"open to the edge", []string{"1.1", "1.1", "111"}, []string{"1.1", "1.1", "111"}},
		{"joined at a corner only", []string{".111", "1.11", "1111"}, []string{".111", "1111", "1111"}},
		{"two rows, shifted", []string{"11111", "1..11", "11..1", "11111"}, []string{"11111", "11111", "11111", "11111"}},
	} {
		f := fieldOf(c.before...)
		f.fillHoles()
		if got := f.lines(); got != strings.Join(c.want, "\n")+"\n" {
			t.Errorf("%s:\n%s", c.name, got)
		}
	}
}

// TestCleanOnlyItsLabels: nuclei of other numbers stay as they are, as small as they are
// and wherever they lie.
func TestCleanOnlyItsLabels(t *testing.T) {
	f := fieldOf("11.22.3344", "...22.333.", "5555....66")
	f.clean(Params{MinArea: 5, RemoveEdge: true}, 2, 4, edges{top: false, bottom: true})
	if got, want := f.lines(), "11....33..\n......333.\n5555....66\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
