// Package cluster knows the schedulers of clusters: it finds out which part of the
// work a task is to do, as Slurm, Kubernetes, PBS, LSF and Grid Engine tell it, and
// writes jobs that people read, edit and submit. It schedules nothing itself.
package cluster
