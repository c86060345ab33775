"""The protocol of a worker: take a partition over, apply batches, write checkpoints, audit."""
