package segment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
)

// Part is one of the parts that a batch is divided into, each of which a process
// of its own does, on whatever machine; the zero value is all of the batch.
// Gather joins what they did.
type Part struct {
	Index int // from 1
	Of    int
}

func (p Part) String() string { return fmt.Sprintf("%d of %d", p.Index, p.Of) }

// PartsDir is the folder, below that of the results, in which parts leave what
// Gather needs.
const PartsDir = ".unet-parts"

// plan says how a batch is divided. The first part to begin writes it, the others
// follow it: no image is done twice, and none is left out.
type plan struct {
	Schema    int         `json:"schema"`
	Program   string      `json:"program"`
	Version   string      `json:"version"`
	Parts     int         `json:"parts"`
	Hash      string      `json:"hash"` // of what follows, up to the inputs
	Model     ModelRecord `json:"model"`
	Settings  Settings    `json:"settings"`
	Condition string      `json:"condition,omitempty"`
	Markers   []Marker    `json:"markers,omitempty"`
	Inputs    []planned   `json:"inputs"`
	// Starts are where the parts begin. What a part has to do goes on up to the
	// start of the next one.
	Starts []start `json:"starts"`
}

// planSchema is the version of plan as JSON.
const planSchema = 2

// planned is an Input of a plan.
type planned struct {
	Path string `json:"path"`
	Name string `json:"name"`
	ID   string `json:"id"`
	Base string `json:"base"`
}

// DividedError says that a folder holds parts of another division.
type DividedError struct {
	Dir     string
	Problem string
}

func (e *DividedError) Error() string {
	return fmt.Sprintf("%s holds parts of a run that was divided otherwise: %s", e.Dir, e.Problem)
}

// Hint says what to do about it.
func (e *DividedError) Hint() string {
	return fmt.Sprintf("run all parts with the same arguments, and gather them; to start over, choose another folder or remove %s", filepath.Join(e.Dir, PartsDir))
}

// newPlan is the plan of a batch, as yet not divided.
func (r *results) newPlan() *plan {
	p := &plan{Schema: planSchema, Program: r.summary.Program, Version: r.summary.Version, Parts: r.batch.Part.Of,
		Model: r.summary.Model, Settings: r.summary.Settings, Condition: r.batch.Condition.text, Markers: r.batch.Markers}
	for _, in := range r.batch.Inputs {
		p.Inputs = append(p.Inputs, planned{in.Path, in.Name, in.ID, in.Base})
	}
	h := sha256.New()
	e := json.NewEncoder(h)
	for _, v := range []any{p.Version, p.Model, p.Settings, p.Condition, p.Markers, p.Inputs} {
		e.Encode(v) // to a hash, which takes everything
	}
	p.Hash = hex.EncodeToString(h.Sum(nil))
	return p
}

// follow returns the plan of the batch: the one that is there, if it divides the
// same work in the same way, or else a new one.
func (r *results) follow(ctx context.Context, large func(PlaneRef, int64) bool) (*plan, error) {
	mine := r.newPlan()
	there, err := readPlan(r.batch.Out)
	if errors.Is(err, fs.ErrNotExist) {
		if err := mine.divide(ctx, r.batch, large); err != nil {
			return nil, err
		}
		if err := mine.publish(r.batch.Out); err != nil {
			return nil, err
		}
		there, err = readPlan(r.batch.Out) // another part may have been first
	}
	if err != nil {
		return nil, err
	}
	return there, there.same(mine, r.batch.Out)
}

// same returns an error that tells what differs from another plan.
func (p *plan) same(q *plan, out string) error {
	problem := ""
	switch {
	case p.Version != q.Version:
		problem = fmt.Sprintf("by unet %s, and this is %s", p.Version, q.Version)
	case p.Parts != q.Parts:
		problem = fmt.Sprintf("into %d parts, not %d", p.Parts, q.Parts)
	case p.Hash == q.Hash:
		return nil
	case !slices.Equal(p.Inputs, q.Inputs):
		problem = fmt.Sprintf("the images are not the same (%d then, %d now)", len(p.Inputs), len(q.Inputs))
	default:
		problem = "with another model or other settings"
	}
	return &DividedError{out, problem}
}

// undivided refuses a run of all of a batch where parts are not gathered yet: they
// would be joined with what this run has put in the place of their results.
func undivided(out string) error {
	p, err := readPlan(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return &DividedError{out, fmt.Sprintf("into %d parts, which are not gathered yet", p.Parts)}
}

// divide gives every part about the same work, by what the images hold.
func (p *plan) divide(ctx context.Context, b Batch, large func(PlaneRef, int64) bool) error {
	list, err := costs(ctx, b, large)
	if err != nil {
		return err
	}
	p.Starts = starts(list, p.Parts)
	return nil
}

// publish writes the plan unless there is one.
func (p *plan) publish(out string) error {
	dir := filepath.Join(out, PartsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	write := func(w io.Writer) error { return owned.EncodeJSON(w, p, " ") }
	f, err := os.CreateTemp(dir, "plan")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	switch err := os.Link(f.Name(), planFile(out)); {
	case err == nil, errors.Is(err, fs.ErrExist):
		return nil
	}
	return atomicfile.WriteFile(planFile(out), write) // a file system without links
}

func planFile(out string) string { return filepath.Join(out, PartsDir, "plan.json") }

// partFile is the record of a part.
func partFile(out string, part int) string {
	return filepath.Join(out, PartsDir, fmt.Sprintf("part-%d.json", part))
}

func readPlan(out string) (*plan, error) {
	p := new(plan)
	if err := readJSON(planFile(out), p); err != nil {
		return nil, err
	}
	if !p.valid() {
		return nil, &InputError{Name: planFile(out), Problem: "is not a plan of this version of unet", Advice: "remove " + filepath.Join(out, PartsDir) + ", and run all parts again"}
	}
	return p, nil
}

// readJSON reads a record that a part left.
func readJSON(name string, v any) error {
	b, err := input.ReadFile(name, maxManifest)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &InputError{Name: name, Problem: fmt.Sprintf("cannot be read: %v", err), Advice: "remove it, and run its part again", Err: err}
	}
	return nil
}
