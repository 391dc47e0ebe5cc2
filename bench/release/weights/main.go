// Command weights makes a trained model a built-in one: it writes its weights,
// rounded to half precision, to unet/weights/NAME.safetensors.
//
//	go run ./bench/release/weights [-mean MODEL] [-thresholds MODEL] RUN/model.safetensors NAME
//
// With -mean the weights are the mean of two models', such as those training
// began with and those it ended with: what is learned anew costs less of what
// was known (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
// With -thresholds the thresholds and the confidence of nuclei are those of
// another model: of one that has not seen the images they were chosen on.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"unet/unet"
)

func main() {
	mean := flag.String("mean", "", "`MODEL` whose weights are averaged with the other's")
	thresholds := flag.String("thresholds", "", "`MODEL` whose thresholds and confidence are taken")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "weights: give a model file and a name")
		os.Exit(2)
	}
	if err := embed(flag.Arg(0), *mean, *thresholds, filepath.Join("unet", "weights", flag.Arg(1)+".safetensors")); err != nil {
		fmt.Fprintln(os.Stderr, "weights:", err)
		os.Exit(1)
	}
}

func embed(from, mean, thresholds, to string) error {
	m, err := unet.LoadModel(from)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if mean != "" {
		if err := average(m, mean); err != nil {
			return err
		}
	}
	if thresholds != "" {
		t, err := unet.LoadModel(thresholds)
		if err != nil {
			return err
		}
		defer t.Params.Free()
		m.Card.Threshold, m.Card.Instance = t.Card.Threshold, t.Card.Instance
	}
	if err := m.Save(to, true); err != nil {
		return err
	}
	st, err := os.Stat(to)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, of %s (SHA-256 %s)\n", to, st.Size(), from, m.SHA256)
	return nil
}

// average replaces m's weights by their mean with another model's.
func average(m *unet.Model, path string) error {
	other, err := unet.LoadModel(path)
	if err != nil {
		return err
	}
	defer other.Params.Free()
	for _, p := range m.Params.All() {
		q := other.Params.Get(p.Name)
		if q == nil || len(q.Value) != len(p.Value) {
			return fmt.Errorf("%s is another network: %s", path, p.Name)
		}
		for i := range p.Value {
			p.Value[i] = (p.Value[i] + q.Value[i]) / 2
		}
	}
	return nil
}
