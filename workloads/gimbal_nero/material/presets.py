"""How a material is fitted where no config says so: in a minute on two cores, or as published."""

from __future__ import annotations

from typing import Any

QUICK: dict[str, Any] = {
    "material": {
        "networks": {"size": "tiny"},
        "train": {
            "steps": 1000,
            "global_batch": 256,
            "optimizer": "adam",
            "lr": 1e-2,
            "warmup_steps": 100,
            "final_share": 0.05,
            "clip_norm": None,
            "validate_every": 250,
            "checkpoint_every": 125,
            "keep_checkpoints": 8,
        },
    },
    "mc": {"diffuse_samples": 64, "specular_samples": 64},
}
PUBLISHED: dict[str, Any] = {
    "material": {
        "loss": {"clip_white": False},
        "validation_scale": 1.0,
        "train": {
            "steps": 100_000,
            "global_batch": 512,
            "optimizer": "adam",
            "lr": 5e-4,
            "warmup_steps": 1000,
            "final_share": 0.05,
            "clip_norm": None,
            "validate_every": 5000,
            "checkpoint_every": 5000,
            "keep_checkpoints": 20,
        },
    },
}
PRESETS = {"quick": QUICK, "published": PUBLISHED}
