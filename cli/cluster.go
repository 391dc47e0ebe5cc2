package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/cluster"
	"unet/unet/segment"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

// shardFlag is the option that chooses a part of the work.
func shardFlag(usage, category string) cli.Flag {
	return &cli.StringFlag{Name: "shard", Usage: usage, Category: category}
}

// shard reads it: 0 of 0 for all of the work.
func shard(c *cli.Context) (index, of int, err error) {
	text := c.String("shard")
	if text == "" {
		return 0, 0, nil
	}
	if index, of, err = cluster.Shard(text, os.Getenv); err != nil {
		return 0, 0, withHint(usagef("--shard %v", err), hintOf(err))
	}
	return index, of, nil
}

// notInJobs are options of predict that a job chooses by itself.
var notInJobs = []string{"shard", "skip-existing", "force"}

// filesInJobs are the options that name files.
var filesInJobs = []string{"out", "model", "from-file", "condition", "region", "config", "from"}

func clusterCommand() *cli.Command {
	const job = "Job"
	return &cli.Command{
		Name:      "cluster",
		Usage:     "write a job that segments images on many machines",
		UsageText: "unet cluster ENGINE IMAGE... --out DIR [options] > JOB",
		Description: "ENGINE is slurm (an array job and a dependent one that joins its results),\n" +
			"kubernetes (an Indexed Job), nextflow or snakemake (a workflow). The job is printed;\n" +
			"its first lines say how to submit it. Read it first, and adjust what it asks of the\n" +
			"cluster. Options of unet predict go into the job. All machines must see the images,\n" +
			"DIR and the program under the same names. unet sweep and unet train --folds print\n" +
			"jobs of their own with --job ENGINE.",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "parts", Usage: "divide the work into `NUMBER` parts", DefaultText: "one for each GiB of images", Category: job},
			&cli.IntFlag{Name: "cpus", Value: 4, Usage: "`NUMBER` of processors for each part", Category: job},
			&cli.IntFlag{Name: "memory", Value: 8, Usage: "`GIB` of memory for each part", Category: job},
		}, flagsOfJobs()...),
		Action: writeJob,
	}
}

// flagsOfJobs are the options of predict that go into a job.
func flagsOfJobs() []cli.Flag {
	return slices.DeleteFunc(predictCommand().Flags, func(f cli.Flag) bool { return slices.Contains(notInJobs, f.Names()[0]) })
}

// writeJob is the command.
func writeJob(c *cli.Context) error {
	engine, args := c.Args().First(), c.Args().Tail()
	if !slices.Contains(cluster.Engines, engine) {
		return usagef("the first argument is the engine: %s", strings.Join(cluster.Engines, ", "))
	}
	j := cluster.Job{Program: "unet", Version: version(), CPUs: c.Int("cpus"), MemoryGiB: c.Int("memory")}
	if j.CPUs < 1 || j.MemoryGiB < 1 {
		return usagef("--cpus and --memory: 1 or more")
	}
	if j.Parts = c.Int("parts"); c.IsSet("parts") && (j.Parts < 1 || j.Parts > 100000) {
		return usagef("--parts %d: 1 to 100000", j.Parts)
	}
	if c.String("from-file") == "-" {
		return usagef("--from-file -: the tasks of a job have no standard input: give a file")
	}
	b, images, err := predictBatch(c)
	if err != nil {
		return err
	}
	if engine == "nextflow" {
		if i := slices.IndexFunc(images[c.NArg():], func(name string) bool { return !filepath.IsAbs(name) }); i >= 0 {
			return withHint(usagef("--from-file %s names %s, and tasks of Nextflow run in folders of their own", c.String("from-file"), images[c.NArg()+i]),
				"write absolute names into the list")
		}
	}
	m, _, err := predictWith(c, &b) // every task would fail where this does
	if err != nil {
		return err
	}
	m.Params.Free()
	b.Inputs = segment.Inputs(images[1:], b.Out) // without the engine
	if len(b.Inputs) == 0 {
		return usagef("an argument is missing: the images, a folder or a pattern")
	}
	if len(b.Inputs) == 1 && b.Inputs[0].Err != nil {
		return b.Inputs[0].Err
	}
	if j.Parts == 0 {
		if j.Parts, err = segment.Parts(c.Context, b); err != nil {
			return err
		}
	}
	if program, err := os.Executable(); err == nil && engine != "kubernetes" {
		j.Program = program
	}
	j.What = fmt.Sprintf("Segments %s into %s", plural(len(b.Inputs), "image", "images"), b.Out)
	j.Part = append(append([]string{"predict"}, args...), optionsOfJob(c, flagsOfJobs())...)
	j.Out, j.Gather = b.Out, []string{"gather", b.Out}
	if engine == "nextflow" { // whose tasks run in folders of their own
		at := absolutePaths(j.Part[1:])
		j.Part, j.Out = append(j.Part[:1], at...), absolutePath(j.Out)
		j.Gather[1] = j.Out
	}
	return j.Write(c.App.Writer, engine)
}

// jobFlag is the option of commands that train, which writes a job with a task for
// each of what they train.
func jobFlag(each string) cli.Flag {
	return &cli.StringFlag{Name: "job", Usage: "print a job for a cluster instead, with a task for each " + each + ": `ENGINE` is " + strings.Join(cluster.Engines, ", ")}
}

// waitFlag is the option of commands that train, which joins what others train.
func waitFlag(what string) cli.Flag {
	return &cli.BoolFlag{Name: "wait", Usage: "wait until other processes have trained all " + what, DisableDefaultText: true}
}

// partOrAll reads --shard and --wait of commands that train: a part, or all of what
// they train.
func partOrAll(c *cli.Context) (index, of int, wait bool, err error) {
	if wait = c.Bool("wait"); wait && c.IsSet("shard") {
		return 0, 0, false, usagef("--wait does not go with --shard: a part waits for no other")
	}
	index, of, err = shard(c)
	return index, of, wait, err
}

// writeSweepJob prints the job of a sweep.
func writeSweepJob(c *cli.Context, dir string, o train.SweepOptions) error {
	variants, err := o.Count() // every task would fail where this does
	if err != nil {
		return err
	}
	return writeTrainJob(c, "sweep", fmt.Sprintf("Trains %d variants on %s", variants, dir), variants)
}

// writeTrainJob prints the job that does what the command line says in parts, and
// then the same command, which joins them.
func writeTrainJob(c *cli.Context, command, what string, parts int) error {
	engine := c.String("job")
	if !slices.Contains(cluster.Engines, engine) {
		return usagef("--job %s: choose from %s", engine, strings.Join(cluster.Engines, ", "))
	}
	for _, name := range []string{"shard", "wait"} {
		if c.IsSet(name) {
			return usagef("--%s does not go with --job, whose tasks have it", name)
		}
	}
	if c.String("out") == "" {
		return usagef("--out is missing: the folder of the results")
	}
	flags := slices.DeleteFunc(slices.Clone(c.Command.Flags), func(f cli.Flag) bool {
		return slices.Contains([]string{"job", "threads"}, f.Names()[0]) // threads, perhaps from the environment, are of this machine
	})
	args := append(slices.Clone(c.Args().Slice()), optionsOfJob(c, flags)...)
	j := cluster.Job{Program: "unet", Version: version(), CPUs: 4, MemoryGiB: 8, What: what, Parts: parts, Trains: true, Out: c.String("out")}
	if program, err := os.Executable(); err == nil && engine != "kubernetes" {
		j.Program = program
	}
	if engine == "nextflow" {
		args, j.Out = absolutePaths(args), absolutePath(j.Out)
	}
	j.Part = append([]string{command}, args...)
	j.Gather = j.Part
	return j.Write(c.App.Writer, engine)
}

// optionsOfJob are those of some options that the user gave.
func optionsOfJob(c *cli.Context, flags []cli.Flag) (list []string) {
	for _, f := range flags {
		name := f.Names()[0]
		if !c.IsSet(name) {
			continue
		}
		switch f.(type) {
		case *cli.BoolFlag:
			list = append(list, fmt.Sprintf("--%s=%v", name, c.Bool(name)))
		case *cli.StringSliceFlag:
			list = append(list, fmt.Sprintf("--%s=%s", name, strings.Join(c.StringSlice(name), ",")))
		default:
			list = append(list, fmt.Sprintf("--%s=%v", name, c.Value(name)))
		}
	}
	return list
}

// absolutePaths makes the images and files of a command line absolute.
func absolutePaths(args []string) (list []string) {
	for _, a := range args {
		name, value, isOption := strings.Cut(a, "=")
		switch {
		case !strings.HasPrefix(a, "--"):
			a = absolutePath(a)
		case isOption && slices.Contains(filesInJobs, name[2:]) && !strings.HasPrefix(value, "embedded") && (name != "--condition" || segment.IsConditionTable(value)):
			a = name + "=" + absolutePath(value)
		}
		list = append(list, a)
	}
	return list
}

func absolutePath(name string) string {
	if a, err := filepath.Abs(name); err == nil {
		return a
	}
	return name
}
