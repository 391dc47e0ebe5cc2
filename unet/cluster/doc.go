// Package cluster speaks with the schedulers of clusters: which part of the work a
// task is to do, as Slurm, Kubernetes, PBS, LSF and Grid Engine tell it, and jobs
// that people read, edit and submit. It schedules nothing itself.
package cluster
