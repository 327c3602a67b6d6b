"""MLflow tracking that never stops or slows a run; importing this imports no MLflow."""

from gimbal.tracking.ports import NullTracker, StageTrackerPort, TrackerPort
from gimbal.tracking.records import RunStatus
from gimbal.tracking.syncing import SyncReport, sync
from gimbal.tracking.tracker import StageTracker, Tracker
from gimbal.tracking.uris import resolve_uri

__all__ = [
    "NullTracker",
    "RunStatus",
    "StageTracker",
    "StageTrackerPort",
    "SyncReport",
    "Tracker",
    "TrackerPort",
    "resolve_uri",
    "sync",
]
