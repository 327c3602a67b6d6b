"""The one look of every page of this workload: skeleton, palette, plots and the sphere."""
