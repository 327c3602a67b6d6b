"""The stages of the next-best-view workload, in the order they run."""
