"""The HTTP door: jobs, GPUs, logs and metrics over FastAPI."""
