"""The stages of the workload multicar."""
