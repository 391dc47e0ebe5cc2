// Command paper repeats the paper's experiment by the commands of the README and
// prints its table of scores: images of 128x128 pixels, a U-Net of kind paper,
// the same seed. It takes some minutes of two cores. What the commands write
// stays in DIR: the set, the model with its report, and the evaluation.
//
//	go run ./bench/quality/paper [-networks] stage1_train.zip DIR
//
// With -networks it trains the paper's U-Net, a residual one, one with attention,
// and one with both, and compares them on test.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"unet/bench/program"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/train"
)

func main() {
	networks := flag.Bool("networks", false, "compare the paper's network with residual and attention ones")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "paper: give Kaggle's stage1_train.zip and a folder for what is made of it")
		os.Exit(2)
	}
	table := scores
	if *networks {
		table = compare
	}
	if err := run(flag.Arg(0), flag.Arg(1), table); err != nil {
		fmt.Fprintln(os.Stderr, "paper:", err)
		os.Exit(1)
	}
}

// run prepares the set and prints a table of what is trained on it.
func run(archive, dir string, table func(bench) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unet, err := program.Build(dir)
	if err != nil {
		return err
	}
	b := bench{unet: unet, dir: dir, set: filepath.Join(dir, "set128")}
	if _, err := b.call("prepare", archive, "--out", b.set, "--size", "128"); err != nil {
		return err
	}
	return table(b)
}

// bench calls the program; its files are in dir.
type bench struct{ unet, dir, set string }

// scores prints how the paper's network does on each split.
func scores(b bench) error {
	t, err := b.train("paper")
	if err != nil {
		return err
	}
	fmt.Println("| split | images | accuracy | precision | recall | Dice = F1 | IoU | PooledAP50 | KaggleScore |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, s := range t.report.Results.Splits {
		p, n := s.All.Pixels, s.All.Nuclei
		fmt.Printf("| %s | %d | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n", s.Name, s.All.Images,
			p.Accuracy, p.Precision, p.Recall, p.Dice, p.IoU, n.PooledAP50, n.KaggleScore)
	}
	return nil
}

// compare prints how networks of other blocks do on test.
func compare(b bench) error {
	fmt.Println("| network | parameters | accuracy | Dice = F1 | PooledAP50 | KaggleScore | processor time of an epoch | peak memory |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, v := range []struct{ name, block, attention string }{
		{"U-Net", "plain", "false"}, {"residual U-Net", "residual", "false"},
		{"attention U-Net", "plain", "true"}, {"attention residual U-Net", "residual", "true"},
	} {
		t, err := b.train(strings.ReplaceAll(v.name, " ", "-"), "--block", v.block, "--attention="+v.attention)
		if err != nil {
			return err
		}
		for _, s := range t.report.Results.Splits {
			if s.Name != dataset.Test {
				continue
			}
			p, n := s.All.Pixels, s.All.Nuclei
			fmt.Printf("| %s | %.2f M | %.3f | %.3f | %.3f | %.3f | %.1f s | %d MiB |\n", v.name, float64(t.parameters)/1e6,
				p.Accuracy, p.Dice, n.PooledAP50, n.KaggleScore, t.epoch.Seconds(), t.memory>>20)
		}
	}
	return nil
}

// trained is what is known of a training.
type trained struct {
	report     evaluate.Report
	parameters int64
	epoch      time.Duration // processor time of an epoch, with its share of start and end
	memory     int64         // peak, in bytes; 0 where it is not known
}

// train trains a network of kind paper and evaluates it.
func (b bench) train(name string, options ...string) (*trained, error) {
	run := filepath.Join(b.dir, name)
	cmd, err := b.call(append([]string{"train", b.set, "--kind", "paper", "--out", run, "--json"}, options...)...)
	if err != nil {
		return nil, err
	}
	var summary train.Summary
	if err := json.Unmarshal(cmd.out, &summary); err != nil {
		return nil, err
	}
	t := &trained{epoch: (cmd.state.UserTime() + cmd.state.SystemTime()) / time.Duration(summary.Epochs), memory: program.MaxRSS(cmd.state)}
	m, err := unet.LoadModel(summary.Model)
	if err != nil {
		return nil, err
	}
	t.parameters = int64(m.Params.Count())
	m.Params.Free()
	if cmd, err = b.call("evaluate", "--model", summary.Model, b.set, "--out", run+"-eval", "--json"); err != nil {
		return nil, err
	}
	return t, json.Unmarshal(cmd.out, &t.report)
}

// ended is a call of the program that succeeded.
type ended struct {
	out   []byte
	state *os.ProcessState
}

func (b bench) call(args ...string) (ended, error) {
	cmd := exec.Command(b.unet, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return ended{}, fmt.Errorf("unet %s: %w", strings.Join(args, " "), err)
	}
	return ended{out, cmd.ProcessState}, nil
}
