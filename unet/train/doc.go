// Package train trains models: settings, batches drawn from annotated images,
// steps, checkpoints from which a run resumes to the same bits, and the scores
// by which the best epoch is kept.
package train
