"""What to run: settings, workloads and stages, fingerprints, run folders and provenance."""
