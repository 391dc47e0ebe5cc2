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
	Images int `json:"images"`
	// Missing lists images of the solution without prediction, which count as
	// predictions of nothing. Extra lists predicted images that are not in the
	// solution, Ignored counts those the solution says to ignore; neither is
	// scored.
	Missing []string        `json:"missing"`
	Extra   []string        `json:"extra"`
	Ignored int             `json:"ignored"`
	Scores  NucleusScores   `json:"scores"`
	List    []SolutionImage `json:"list"`
}

// SolutionImage is the outcome of one image.
type SolutionImage struct {
	ID        string  `json:"id"`
	Truth     int     `json:"truth"`
	Predicted int     `json:"predicted"`
	MeanAP    float64 `json:"mean_ap"`
	AP50      float64 `json:"ap50"`
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
