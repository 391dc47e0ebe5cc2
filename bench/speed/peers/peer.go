package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// peer is a running program that is asked, line by line, to do a step ("step"
// -> seconds), write the probabilities of one more ("output FILE") or tell its
// peak memory ("memory" -> bytes).
type peer struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	err   strings.Builder
	times []float64
}

func start(command []string) (*peer, error) {
	p := &peer{cmd: quiet(command[0], command[1:]...)}
	p.cmd.Stderr = &p.err
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return nil, p.died()
	}
	p.name = strings.TrimSpace(strings.TrimPrefix(line, "ready "))
	return p, nil
}

// died waits for the end of a process and returns its last words.
func (p *peer) died() error {
	p.stop()
	return errors.New(lastLine([]byte(p.err.String())))
}

func (p *peer) ask(command string) (string, error) {
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		return "", p.died()
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", p.died()
	}
	return strings.TrimSpace(line), nil
}

func (p *peer) number(command string) (float64, error) {
	line, err := p.ask(command)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(line, 64)
}

func (p *peer) output(path string) ([]float32, error) {
	if _, err := p.ask("output " + path); err != nil {
		return nil, fmt.Errorf("%s gives no output: %w", p.name, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// worker is our side of the protocol: args are mode, model, side, batch and
// threads.
func worker(args []string) {
	var n [3]int
	for i := range n {
		v, err := strconv.Atoi(args[2+i])
		check(err)
		n[i] = v
	}
	b, err := newNetwork(args[1], n[0], n[1], n[2], args[0] == "train")
	check(err)
	defer b.close()
	fmt.Println("ready unet")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch f := strings.Fields(in.Text()); f[0] {
		case "step":
			start := time.Now()
			check(b.step())
			fmt.Println(time.Since(start).Seconds())
		case "output":
			check(b.step())
			var buf []byte
			for _, v := range b.probabilities() {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			check(os.WriteFile(f[1], buf, 0o666))
			fmt.Println("ok")
		case "memory":
			fmt.Println(peakMemory())
		}
	}
}

// peakMemory returns the process's largest resident size in bytes, 0 where
// the system does not tell.
func peakMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			v, _ := strconv.ParseInt(f[1], 10, 64)
			return v << 10
		}
	}
	return 0
}
