"""The stages of the workload nero."""
