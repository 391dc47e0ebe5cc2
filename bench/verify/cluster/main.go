// Cluster checks a manifest of Kubernetes by the types of its interface: fields that
// they do not have are errors, and what the interface demands of the jobs is looked
// at. It is a module of its own, so that unet does not depend on Kubernetes.
//
//	go run . JOB.yaml
package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cluster JOB.yaml")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func check(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	names := map[string]*batch.Job{}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		job := new(batch.Job)
		if err := yaml.UnmarshalStrict(document, job); err != nil {
			return err
		}
		if err := sound(job); err != nil {
			return fmt.Errorf("job %s: %w", job.Name, err)
		}
		names[job.Name] = job
	}
	parts, gather := names["unet"], names["unet-gather"]
	if len(names) != 2 || parts == nil || gather == nil {
		return fmt.Errorf("it holds %d jobs, not unet and unet-gather", len(names))
	}
	if parts.Spec.CompletionMode == nil || *parts.Spec.CompletionMode != batch.IndexedCompletion || parts.Spec.Completions == nil {
		return fmt.Errorf("job unet is not indexed")
	}
	shard := fmt.Sprintf("auto/%d", *parts.Spec.Completions)
	if !slices.Contains(parts.Spec.Template.Spec.Containers[0].Args, shard) {
		return fmt.Errorf("no pod of job unet does --shard %s", shard)
	}
	if !slices.Contains(gather.Spec.Template.Spec.Containers[0].Args, "--wait") {
		return fmt.Errorf("job unet-gather does not wait for the others")
	}
	fmt.Printf("%s: %d completions, and a job that joins them\n", file, *parts.Spec.Completions)
	return nil
}

// sound checks what Kubernetes refuses although its types allow it.
func sound(job *batch.Job) error {
	pod := job.Spec.Template.Spec
	switch {
	case job.APIVersion != batch.SchemeGroupVersion.String() || job.Kind != "Job":
		return fmt.Errorf("it is %s %s", job.APIVersion, job.Kind)
	case pod.RestartPolicy != core.RestartPolicyNever && pod.RestartPolicy != core.RestartPolicyOnFailure:
		return fmt.Errorf("a pod of a job restarts Never or OnFailure, not %q", pod.RestartPolicy)
	case job.Spec.PodFailurePolicy != nil && pod.RestartPolicy != core.RestartPolicyNever:
		return fmt.Errorf("a policy of failures needs restartPolicy: Never")
	case job.Spec.BackoffLimitPerIndex != nil && (job.Spec.CompletionMode == nil || *job.Spec.CompletionMode != batch.IndexedCompletion):
		return fmt.Errorf("a limit for each index needs an indexed job")
	case len(pod.Containers) != 1:
		return fmt.Errorf("%d containers", len(pod.Containers))
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !volumes[m.Name] {
			return fmt.Errorf("there is no volume %s", m.Name)
		}
	}
	if job.Spec.PodFailurePolicy != nil {
		for _, r := range job.Spec.PodFailurePolicy.Rules {
			if r.OnExitCodes == nil || r.OnExitCodes.ContainerName == nil || *r.OnExitCodes.ContainerName != pod.Containers[0].Name {
				return fmt.Errorf("a policy of failures for another container")
			}
		}
	}
	return nil
}
