package train

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
)

// Failure is a variant of a sweep whose training diverged.
type Failure struct {
	Settings map[string]string `json:"settings"` // the settings that were varied, and their values
	Reason   string            `json:"reason"`   // why it has no model
	Folder   string            `json:"folder"`   // folder of the run

	text string // the varied settings
}

// failureFile, in the folder of a variant, says that it failed.
const failureFile = "failed.json"

// failureRecord is what failureFile holds: the same settings and images would
// diverge again.
type failureRecord struct {
	Config json.RawMessage `json:"config"`
	Set    string          `json:"set"`
	Reason string          `json:"reason"`
}

func (v *Variant) failureRecord(o *SweepOptions, reason string) (r failureRecord, err error) {
	r.Set, r.Reason = imagesHash(o.Set), reason
	r.Config, err = json.Marshal(v.config)
	return r, err
}

// failed returns why the variant failed in this or an earlier sweep, "" if it did not
// with these settings and images.
func (v *Variant) failed(o *SweepOptions) string {
	text, err := input.ReadFile(filepath.Join(v.Folder, failureFile), 1<<20)
	var was failureRecord
	if err != nil || json.Unmarshal(text, &was) != nil {
		return ""
	}
	now, err := v.failureRecord(o, was.Reason)
	if err != nil || string(now.Config) != string(was.Config) || now.Set != was.Set {
		return ""
	}
	return was.Reason
}

// fail records why the variant failed.
func (v *Variant) fail(o *SweepOptions, why error) error {
	r, err := v.failureRecord(o, why.Error())
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return owned.Write(v.Folder, owned.Options{Force: o.Force}, map[string]func(io.Writer) error{failureFile: func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	}})
}

// forgetFailure makes way for a new try.
func (v *Variant) forgetFailure() error {
	if err := os.Remove(filepath.Join(v.Folder, failureFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
