package evaluate

import (
	"fmt"

	"unet/unet/dataset"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/metrics"
)

// SolutionScores are the scores of predictions against a table of true nuclei.
type SolutionScores struct {
	Images  int             `json:"images"`  // images that were scored
	Missing []string        `json:"missing"` // images of the solution without a prediction; they count as predictions of nothing
	Extra   []string        `json:"extra"`   // predicted images that are not in the solution; not scored
	Ignored int             `json:"ignored"` // number of images that the solution says to ignore
	Scores  NucleusScores   `json:"scores"`  // scores of all images together
	List    []SolutionImage `json:"list"`    // scores by image
}

// SolutionImage is the outcome of one image.
type SolutionImage struct {
	ID        string  `json:"id"`        // name of the image
	Truth     int     `json:"truth"`     // number of true nuclei
	Predicted int     `json:"predicted"` // number of nuclei predicted
	MeanAP    float64 `json:"mean_ap"`   // mean average precision over IoU 0.50:0.05:0.95
	AP50      float64 `json:"ap50"`      // average precision at IoU 0.5
}

// ScoreSolution scores encoded predictions by the rules of the Data Science
// Bowl. The solution must give the size of every image (its columns Height and
// Width).
func ScoreSolution(solution, predictions []formats.Encoded) (*SolutionScores, error) {
	s := &SolutionScores{Missing: []string{}, Extra: []string{}}
	of := map[string]*formats.Encoded{}
	for i := range predictions {
		of[predictions[i].Name] = &predictions[i]
	}
	known := map[string]bool{}
	var agg metrics.Aggregate
	var errors ErrorCounts
	taus := metrics.Taus()
	for i := range solution {
		e := &solution[i]
		known[e.Name] = true
		if e.Usage == "Ignored" {
			s.Ignored++
			continue
		}
		if e.W == 0 {
			return nil, &dataset.InputError{Name: "the solution", Problem: fmt.Sprintf("does not give the size of image %s", e.Name),
				Advice: "it needs the columns ImageId, EncodedPixels, Height and Width"}
		}
		if e.W > imageio.MaxSamples/e.H {
			return nil, &dataset.InputError{Name: "the solution", Problem: fmt.Sprintf("gives image %s %d x %d pixels", e.Name, e.W, e.H),
				Advice: "check its columns Height and Width"}
		}
		truth, _, err := e.Labels(0, 0)
		if err != nil {
			return nil, &dataset.InputError{Name: "the solution", Problem: err.Error(), Advice: "runs must lie within the image and apart from one another"}
		}
		pred := imageio.NewLabels(e.W, e.H)
		if q := of[e.Name]; q == nil {
			s.Missing = append(s.Missing, e.Name)
		} else if pred, _, err = q.Labels(e.W, e.H); err != nil {
			return nil, &dataset.InputError{Name: "the predictions", Problem: err.Error(), Advice: "they must be of the images of the solution, at their size"}
		}
		o, err := metrics.Compare(truth, pred)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
		r := o.Result(taus)
		agg.Add(r)
		errors.add(countErrors(o))
		s.List = append(s.List, SolutionImage{e.Name, r.Truth, r.Pred, r.Score(), r.At[0].Scores(0.5).AP})
	}
	for _, p := range predictions {
		if !known[p.Name] {
			s.Extra = append(s.Extra, p.Name)
		}
	}
	s.Images = len(s.List)
	if s.Images == 0 {
		return nil, &dataset.InputError{Name: "the solution", Problem: "holds no image to score", Advice: "check its column Usage"}
	}
	s.Scores = nucleusScores(&agg, errors, nil)
	return s, nil
}
