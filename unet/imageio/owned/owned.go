// Package owned keeps the rule of what a command may replace: a file that an
// earlier run made or, where the user says so, any file; never an input. A list in
// the folder says what was made there. It is written before the files are, so that
// it also holds those of a run that was killed.
package owned

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
)

// ListFile is the name of the list of the files that were made in a folder.
const ListFile = ".unet-files"

// maxList bounds, in bytes, the list that is read.
const maxList = 1 << 30

const heading = "# Files that unet made in this folder, which a later run may replace.\n"

// RefusedError says that a file is in the way of a result.
type RefusedError struct {
	Name, Problem, Advice string
	// Option is that which Advice speaks of, as programs name it; "" for none.
	Option string
}

func (e *RefusedError) Error() string { return e.Name + " " + e.Problem }

// Hint says what to do about it.
func (e *RefusedError) Hint() string { return e.Advice }

// Adjust names the option that the hint speaks of.
func (e *RefusedError) Adjust() string { return e.Option }

// ErrBusy says that another run is writing into the folder.
var ErrBusy = errors.New("another run is writing into this folder")

func isInput(name string) error {
	return &RefusedError{Name: name, Problem: "is an input and would be overwritten", Advice: "give the result another name"}
}

func foreign(name string) error {
	return &RefusedError{name, "exists, and no earlier run made it", "choose another place for the results, or have it replaced", "force"}
}

// inputs are files that no result may replace.
type inputs struct {
	names map[string]bool
	files []fs.FileInfo
}

func newInputs(list []string) inputs {
	in := inputs{names: map[string]bool{}}
	for _, name := range list {
		in.names[absolute(name)] = true
		if st, err := os.Stat(name); err == nil {
			in.files = append(in.files, st)
		}
	}
	return in
}

// hold reports whether name, of which st is known, is one of them.
func (in inputs) hold(name string, st fs.FileInfo) bool {
	return in.names[absolute(name)] || slices.ContainsFunc(in.files, func(f fs.FileInfo) bool { return os.SameFile(f, st) })
}

func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return filepath.Clean(name)
}

// File refuses a single result where something is already: a file that is an
// input or, unless force, any. What is no regular file is never replaced: a link
// such as /dev/stdout belongs to the system, and a pipe has a reader.
func File(name string, force bool, ins ...string) error {
	st, err := os.Stat(name)
	if err == nil && st.Mode().IsRegular() && newInputs(ins).hold(name, st) {
		return isInput(name)
	}
	if link, err := os.Lstat(name); err == nil && link.Mode()&fs.ModeSymlink != 0 && (st == nil || !st.IsDir()) {
		return &RefusedError{Name: name, Problem: "is a link, and the result would take its place", Advice: "give the file that it leads to, or another name"}
	}
	if err != nil {
		return nil // writing it tells
	}
	if err := special(name, st); err != nil {
		return err
	}
	if !force {
		return &RefusedError{name, "exists", "choose another name, or have it replaced", "force"}
	}
	return nil
}

// special refuses what is no regular file.
func special(name string, st fs.FileInfo) error {
	var is *input.KindError
	if !errors.As(input.Check(name, st), &is) {
		return nil
	}
	return &RefusedError{Name: name, Problem: "is " + is.Kind + ", which no result may replace", Advice: "give the name of a regular file"}
}

// Folder is a folder that results are written into.
type Folder struct {
	dir    string
	part   string
	force  bool
	inputs inputs

	mu   sync.Mutex
	made map[string]bool // slash paths below dir
	list *os.File        // open and locked; nil until the first Claim
}

// Options of Open.
type Options struct {
	Force  bool     // files that no run made may be replaced
	Inputs []string // are never replaced
	// Made names files, below the folder, that are known to be of an earlier run
	// although they are not in the list.
	Made []string
	// Part names one of several processes that write into the folder at the same
	// time, each into files of its own: it has a list and a lock of its own, and
	// the next run that is no part joins the lists.
	Part string
}

// Open reads the list of a folder, which is there.
func Open(dir string, o Options) (*Folder, error) {
	f := &Folder{dir: dir, part: o.Part, force: o.Force, inputs: newInputs(o.Inputs), made: map[string]bool{ListFile: true}}
	for _, name := range o.Made {
		f.made[filepath.ToSlash(name)] = true
	}
	return f, f.read()
}

// read takes in what the lists name.
func (f *Folder) read() error {
	lists, err := partLists(f.dir)
	if err != nil {
		return err
	}
	for _, list := range append(lists, filepath.Join(f.dir, ListFile)) {
		text, err := input.ReadFile(list, maxList)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range parse(text) {
			f.made[name] = true
		}
	}
	return nil
}

// partLists are the lists of parts in a folder.
func partLists(dir string) (lists []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ListFile+".") && !atomicfile.IsTemporary(e.Name()) {
			lists = append(lists, filepath.Join(dir, e.Name()))
		}
	}
	return lists, err
}

// parse reads a list. A line that was cut off names nothing.
func parse(text []byte) (names []string) {
	for line := range bytes.Lines(text) {
		s, whole := strings.CutSuffix(string(line), "\n")
		if s == "" || s[0] == '#' {
			continue
		}
		if name, err := strconv.Unquote(s); err == nil {
			s = name
		}
		if whole && filepath.IsLocal(filepath.FromSlash(s)) {
			names = append(names, s)
		}
	}
	return names
}

// line is a name as it stands in a list.
func line(name string) string {
	if strings.ContainsAny(name, "\n\"") || name[0] == '#' || strings.TrimSpace(name) != name {
		name = strconv.Quote(name)
	}
	return name + "\n"
}

// Made lists what earlier runs made, and this one, sorted.
func (f *Folder) Made() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sorted()
}

func (f *Folder) sorted() (names []string) {
	for name := range f.made {
		if name != ListFile {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Check refuses results, by their paths below the folder, that would replace what
// they may not.
func (f *Folder) Check(names ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.check(names)
}

func (f *Folder) check(names []string) error {
	for _, name := range names {
		name = filepath.ToSlash(name)
		path := filepath.Join(f.dir, filepath.FromSlash(name))
		st, err := os.Lstat(path)
		if err != nil {
			continue
		}
		link := st.Mode()&fs.ModeSymlink != 0
		if to, err := os.Stat(path); err == nil && link {
			st = to
		}
		switch {
		case st.IsDir(): // nothing replaces it: writing tells
		case !link && !st.Mode().IsRegular():
			return special(path, st)
		case f.inputs.hold(path, st):
			return isInput(path)
		case !f.made[name] && !f.force:
			return foreign(path)
		}
	}
	return nil
}

// Claim is Check for results that are written next; they are put on the list. The
// first Claim takes the folder for this process until Close, and fails with
// ErrBusy where another has it.
func (f *Folder) Claim(names ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(names); err != nil {
		return err
	}
	if err := f.take(); err != nil {
		return err
	}
	var more strings.Builder
	for _, name := range names {
		if name = filepath.ToSlash(name); !f.made[name] {
			f.made[name] = true
			more.WriteString(line(name))
		}
	}
	if more.Len() == 0 {
		return nil
	}
	_, err := f.list.WriteString(more.String())
	return err
}

// ClaimFolder is Claim for a result that is itself a folder, and replaces one whole.
func (f *Folder) ClaimFolder(name string) error {
	f.mu.Lock()
	path, mine := filepath.Join(f.dir, filepath.FromSlash(name)), f.made[filepath.ToSlash(name)]
	f.mu.Unlock()
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		switch {
		case f.inputs.hold(path, st):
			return isInput(path)
		case !mine && !f.force:
			return foreign(path)
		}
	}
	return f.Claim(name)
}

// take opens and locks the list, and reads it again: another process may have made
// files since Open.
func (f *Folder) take() error {
	if f.list != nil {
		return nil
	}
	path := filepath.Join(f.dir, ListFile)
	if f.part != "" {
		path += "." + f.part
	} else if err := f.partsEnded(); err != nil {
		return err
	}
	list, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	// Where the file system knows no locks, the run goes without.
	if err := atomicfile.TryLock(list); errors.Is(err, atomicfile.ErrLocked) {
		list.Close()
		return fmt.Errorf("%s: %w", f.dir, ErrBusy)
	}
	st, err := list.Stat()
	if err == nil {
		err = f.read()
	}
	if err == nil && st.Size() == 0 {
		_, err = list.WriteString(heading)
		for _, name := range f.sorted() {
			if err == nil && f.part == "" {
				_, err = list.WriteString(line(name))
			}
		}
	}
	if err == nil && st.Size() > 0 { // a name may have been cut off
		last := make([]byte, 1)
		if _, err = list.ReadAt(last, st.Size()-1); err == nil && last[0] != '\n' {
			_, err = list.WriteString("\n")
		}
	}
	if err != nil {
		list.Close()
		return err
	}
	f.list = list
	return nil
}

// partsEnded fails with ErrBusy while a part has the folder.
func (f *Folder) partsEnded() error {
	lists, err := partLists(f.dir)
	if err != nil {
		return err
	}
	for _, name := range lists {
		list, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = atomicfile.TryLock(list)
		list.Close()
		if errors.Is(err, atomicfile.ErrLocked) {
			return fmt.Errorf("%s: %w", f.dir, ErrBusy)
		}
	}
	return nil
}

// Close sorts the list and joins those of parts with it, so that the same work
// leaves the same bytes, and lets others have the folder.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list == nil {
		return nil
	}
	if f.part != "" {
		f.list.Close()
		f.list = nil
		return nil
	}
	var sorted bytes.Buffer
	sorted.WriteString(heading)
	for _, name := range f.sorted() {
		sorted.WriteString(line(name))
	}
	var err error
	if runtime.GOOS == "windows" { // which replaces no open file
		f.list.Close()
	}
	if now, rerr := input.ReadFile(f.list.Name(), maxList); rerr != nil || !bytes.Equal(now, sorted.Bytes()) {
		err = atomicfile.WriteFile(f.list.Name(), func(w io.Writer) error {
			_, err := w.Write(sorted.Bytes())
			return err
		})
	}
	f.list.Close()
	f.list = nil
	if err != nil {
		return err
	}
	lists, err := partLists(f.dir)
	for _, list := range lists {
		err = errors.Join(err, os.Remove(list))
	}
	return err
}

// Reserve claims results in a folder, which is made if it is not there, for a
// command that sees to it by itself that it is alone there.
func Reserve(dir string, o Options, names ...string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := Open(dir, o)
	if err != nil {
		return err
	}
	return errors.Join(f.Claim(names...), f.Close())
}

// Write claims results in a folder and writes them. It makes folders that are not
// there.
func Write(dir string, o Options, files map[string]func(io.Writer) error) error {
	names := slices.Sorted(maps.Keys(files))
	if err := Reserve(dir, o, names...); err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := atomicfile.WriteFile(path, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// Strangers lists up to most files below a folder that are not in known, which
// holds slash paths below it, nor temporary ones of our own. Folders count by
// what is in them, empty ones not at all.
func Strangers(dir string, known map[string]bool, most int) (names []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() || known[name] || name == ListFile || atomicfile.IsTemporary(d.Name()) {
			return nil
		}
		if names = append(names, name); len(names) >= most {
			return fs.SkipAll
		}
		return nil
	})
	return names, err
}
