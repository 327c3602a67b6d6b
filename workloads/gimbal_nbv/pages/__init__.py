"""What the pages of this workload add to those of the platform."""
