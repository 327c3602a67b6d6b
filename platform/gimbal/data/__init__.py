"""Data stages: Ray Data writes Arrow blocks, everything later reads them memory-mapped.

What a workload needs to declare a data stage is here and imports neither Ray nor Arrow:
`DataStage`, `BadItem`, `BlockSchema` and `Column`. The parts that do are imported by module:
`gimbal.data.writing`, `reading`, `streaming`, `verifying` and `manifest`.
"""

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import BadItem, DataStage

__all__ = ["BadItem", "BlockSchema", "Column", "DataStage"]
