// Command paper repeats the paper's experiment by the commands of the README and
// prints its table of scores: images of 128x128 pixels, a U-Net of kind paper,
// the same seed. It takes some minutes of two cores. What the commands write
// stays in DIR: the set, the model with its report, and the evaluation.
//
//	go run ./bench/quality/paper stage1_train.zip DIR
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"unet/bench/program"
	"unet/unet/evaluate"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "paper: give Kaggle's stage1_train.zip and a folder for what is made of it")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "paper:", err)
		os.Exit(1)
	}
}

func run(archive, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unet, err := program.Build(dir)
	if err != nil {
		return err
	}
	set, model := filepath.Join(dir, "set128"), filepath.Join(dir, "paper")
	var scores []byte
	for _, args := range [][]string{
		{"prepare", archive, "--out", set, "--size", "128"},
		{"train", set, "--kind", "paper", "--out", model},
		{"evaluate", "--model", filepath.Join(model, "model.safetensors"), set, "--out", filepath.Join(dir, "paper-eval"), "--json"},
	} {
		cmd := exec.Command(unet, args...)
		cmd.Stderr = os.Stderr
		if scores, err = cmd.Output(); err != nil {
			return fmt.Errorf("unet %s: %w", strings.Join(args, " "), err)
		}
	}
	var r evaluate.Report
	if err := json.Unmarshal(scores, &r); err != nil {
		return err
	}
	fmt.Println("| split | images | accuracy | precision | recall | Dice = F1 | IoU | PooledAP50 | KaggleScore |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, s := range r.Results.Splits {
		p, n := s.All.Pixels, s.All.Nuclei
		fmt.Printf("| %s | %d | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n", s.Name, s.All.Images,
			p.Accuracy, p.Precision, p.Recall, p.Dice, p.IoU, n.PooledAP50, n.KaggleScore)
	}
	return nil
}
