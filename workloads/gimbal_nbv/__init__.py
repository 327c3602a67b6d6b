"""The workload `nbv`: choose where to look next, so that few views reconstruct an object best."""
