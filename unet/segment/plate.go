package segment

import (
	"fmt"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"

	"unet/unet/formats"
	"unet/unet/report"
)

// wellName finds a well of a plate of up to 384 in a name, also before the field
// (A01f02); wellRowColumn finds those in numbers, as Harmony writes them (r02c03f01).
var (
	wellName      = regexp.MustCompile(`(?:^|[^A-Za-z0-9])([A-P])(0?[1-9]|1[0-9]|2[0-4])(?:[^A-Za-z0-9]|[fs][0-9]|$)`)
	wellRowColumn = regexp.MustCompile(`(?:^|[^A-Za-z0-9])r(0[1-9]|1[0-6])c(0[1-9]|1[0-9]|2[0-4])f[0-9]`)
)

// wellOf returns the well that a name of an image tells of, such as B03, or "".
func wellOf(name string) string {
	if m := wellRowColumn.FindStringSubmatch(name); m != nil {
		row, _ := strconv.Atoi(m[1]) // the pattern allows nothing else
		return string(rune('A'+row-1)) + m[2]
	}
	m := wellName.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[2]) // the pattern allows nothing else
	return fmt.Sprintf("%s%02d", m[1], n)
}

var wellAlone = regexp.MustCompile(`^\s*([A-Za-z]{1,2})0*([1-9][0-9]?)\s*$`)

// wellText is a well as wellOf writes it, B03 for b3; "" of what is none.
func wellText(name string) string {
	m := wellAlone.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[2]) // the pattern allows nothing else
	return fmt.Sprintf("%s%02d", strings.ToUpper(m[1]), n)
}

// plate is the wells of a plate, by row and column from 0.
type plate struct {
	name  string
	wells map[[2]int][]*PlaneRecord
}

// plates are those of the images shown: of an OME-Zarr plate its own, else those
// of the images of one folder, if each of them tells its well.
func (r *results) plates() (list []*plate) {
	at := map[string]*plate{}
	for _, im := range r.shown.Images {
		for i := range im.Planes {
			p := &im.Planes[i]
			row, column, ok := wellAt(p.WellName)
			if !ok {
				return nil
			}
			name := path.Dir(im.Name)
			if p.OnPlate {
				name = im.Name
			}
			if at[name] == nil {
				at[name] = &plate{name, map[[2]int][]*PlaneRecord{}}
				list = append(list, at[name])
			}
			well := [2]int{row, column}
			at[name].wells[well] = append(at[name].wells[well], p)
		}
	}
	return list
}

// wellAt is the row and column from 0 of a well such as B03.
func wellAt(well string) (row, column int, ok bool) {
	letters := strings.TrimRight(well, "0123456789")
	column, err := strconv.Atoi(well[len(letters):])
	for _, c := range letters {
		row = row*26 + int(c-'A') + 1
	}
	return row - 1, column - 1, err == nil && letters != "" && column > 0
}

// addPlates adds maps of the plates.
func (r *results) addPlates(g *report.Gallery) {
	measures := r.measures()
	shown := []measure{measures[0]}
	for _, m := range measures {
		if strings.HasPrefix(m.name, formats.PositiveShare) {
			shown = append(shown, m)
		}
	}
	for _, plate := range r.plates() {
		if len(plate.wells) < 2 {
			continue
		}
		title := "Plate"
		if plate.name != "." {
			title += " " + plate.name
		}
		s := g.Section(title)
		for _, m := range shown {
			means := map[[2]int]float64{}
			for at, planes := range plate.wells {
				sum, n := 0.0, 0.0
				for _, p := range planes {
					if v := m.of(p); !math.IsNaN(v) {
						sum, n = sum+v, n+1
					}
				}
				if n > 0 {
					means[at] = sum / n
				}
			}
			s.Drawing(report.PlateMap(strings.ToUpper(m.text[:1])+m.text[1:], m.text+", mean of the well", means), "")
		}
	}
}
