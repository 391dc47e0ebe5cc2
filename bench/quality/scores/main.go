// Command scores prints the tables of scores in the README and in the model
// card, as Markdown: a nuclei model by split and kind of image, the best, the median
// and the worst image of each kind, and all images of a split by several ways to
// predict, the paper's model among them. The built-in
// model has seen the images of every split: score its twin, which has not.
//
//	unet prepare stage1_train.zip --out set --fix
//	go run ./bench/quality/scores set twin.safetensors
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/weights"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "scores: give a set, prepared at native scale, and a nuclei model")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "scores:", err)
		os.Exit(1)
	}
}

// way is a model and how it predicts.
type way struct {
	label, model string
	tta          bool
	bfloat16     bool
}

func run(dir, model string) error {
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	e, err := core.NewEngine("", 0)
	if err != nil {
		return err
	}
	defer e.Close()
	ways := []way{
		{label: "paper, resized to 128x128", model: unet.Paper},
		{label: "nuclei", model: model},
		{label: "nuclei, `--tta`", model: model, tta: true},
		{label: "nuclei, `--precision bfloat16`", model: model, bfloat16: true},
	}
	results := make([]*evaluate.Evaluation, len(ways))
	for i, w := range ways {
		if results[i], err = score(e, set, w); err != nil {
			return err
		}
		if i == 1 { // as it is used if nothing else is asked for
			kinds(results[i])
			examples(results[i])
		}
	}
	fmt.Println("\n| model | val PooledAP50 | val MeanAP .5:.9 | val KaggleScore | test PooledAP50 | test MeanAP .5:.9 | test KaggleScore |\n|---|--:|--:|--:|--:|--:|--:|")
	for i, w := range ways {
		fmt.Printf("| %s |", w.label)
		for _, s := range results[i].Splits {
			n := s.All.Nuclei
			fmt.Printf(" %.3f | %.3f | %.3f |", n.PooledAP50, n.MeanAP90, n.KaggleScore)
		}
		fmt.Println()
	}
	return nil
}

// score scores the splits that no model was trained on.
func score(e *core.Engine, set *dataset.Set, w way) (*evaluate.Evaluation, error) {
	load := unet.LoadModel
	if w.model == unet.Paper {
		load = weights.Load
	}
	m, err := load(w.model)
	if err != nil {
		return nil, err
	}
	defer m.Params.Free()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	p.TTA, p.BFloat16 = w.tta, w.bfloat16
	return evaluate.Score(context.Background(), p, set, evaluate.ScoreOptions{Splits: []string{dataset.Val, dataset.Test}})
}

// kinds prints the scores of every kind of image, and how nuclei go wrong.
func kinds(r *evaluate.Evaluation) {
	fmt.Println("| split | kind | images | nuclei | Dice | PooledAP50 | ImageAP50 | MeanAP .5:.9 | MeanAP | KaggleScore | PQ |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, s := range r.Splits {
		for _, k := range append(s.Kinds, s.All) {
			n := k.Nuclei
			fmt.Printf("| %s | %s | %d | %d | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n", s.Name, k.Name, k.Images, n.Truth,
				k.Pixels.Dice, n.PooledAP50, n.ImageAP50, n.MeanAP90, n.MeanAP, n.KaggleScore, n.PQ)
		}
	}
	fmt.Println("\n| split | nuclei | matched | merged | missed | inexact | split | invented |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, s := range r.Splits {
		x := s.All.Nuclei.Errors
		fmt.Printf("| %s | %d | %d | %d | %d | %d | %d | %d |\n", s.Name, s.All.Nuclei.Truth, x.Matched, x.Merged, x.Missed, x.Inexact, x.Split, x.Invented)
	}
}

// examples names the best, the median and the worst image of each kind by MeanAP, for
// people to look at.
func examples(r *evaluate.Evaluation) {
	fmt.Println("\n| kind | | split | image | nuclei | AP50 | MeanAP | merged | missed | split | invented |\n|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|")
	type of struct {
		split string
		evaluate.ImageScores
	}
	kinds := map[string][]of{}
	var names []string
	for _, s := range r.Splits {
		for _, im := range s.Images {
			if kinds[im.Kind] == nil {
				names = append(names, im.Kind)
			}
			kinds[im.Kind] = append(kinds[im.Kind], of{s.Name, im})
		}
	}
	slices.Sort(names)
	for _, name := range names {
		list := kinds[name]
		slices.SortFunc(list, func(a, b of) int {
			return cmp.Or(cmp.Compare(b.MeanAP, a.MeanAP), cmp.Compare(a.ID, b.ID))
		})
		for _, p := range []struct {
			label string
			at    int
		}{{"best", 0}, {"median", len(list) / 2}, {"worst", len(list) - 1}} {
			im := list[p.at]
			fmt.Printf("| %s | %s | %s | %.12s | %d | %.3f | %.3f | %d | %d | %d | %d |\n", name, p.label, im.split, im.ID, im.Truth, im.AP50, im.MeanAP,
				im.Errors.Merged, im.Errors.Missed, im.Errors.Split, im.Errors.Invented)
		}
	}
}
