"""Which trained networks a config has, by their settings.

Apart from how they are loaded: an edit of a network must not make stages run again that read only
the config.
"""

from __future__ import annotations

from dataclasses import dataclass

from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.multiview.settings import MultiviewSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """Settings of the trained networks, None where there is none.

    Attributes:
        completion: Of the completion net.
        multiview: Of the multi-view model.
    """

    completion: CompletionSettings | None = None
    multiview: MultiviewSettings | None = None
