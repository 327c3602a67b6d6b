"""Where photographs come from.

Stages of data import this and not `config`: whoever edits a network must not have photographs made
anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from gimbal.experiment.paths import at_home
from gimbal.experiment.settings import Settings
from gimbal_nero.synthesis.settings import SyntheticSettings

FolderPath = Annotated[Path, AfterValidator(at_home)]


class DataSettings(Settings):
    """Photographs of one object."""

    root: FolderPath | None = None
    """Folder of photographs, in any layout that `gimbal nero prepare` takes; none: they are made,
    as `synthetic` says."""
    synthetic: SyntheticSettings = SyntheticSettings()
