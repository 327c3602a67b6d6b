"""Numbers for Prometheus, read when they are asked for.

Labels are few on purpose: cards, states, classes and routes are bounded by the cluster and the
code; jobs and users are not, and stay in the job list.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from starlette.types import Scope

from gimbal.jobs.controller.stats import ControllerStats, Histogram
from gimbal.jobs.model import JobState
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import Condition, Gpu

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class HttpStats:
    """Counts requests by route; written by the event loop, read by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, str, str]] = Counter()
        self._seconds: dict[str, tuple[list[int], float]] = {}

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answered request; a stream counts when it ends and has no duration."""
        path = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        with self._lock:
            self._answers[method, path, str(status)] += 1
            if path.endswith("/stream"):
                return
            counts, total = self._seconds.get(path, ([0] * (len(_BOUNDS_S) + 1), 0.0))
            counts[bisect_left(_BOUNDS_S, seconds)] += 1
            self._seconds[path] = (counts, total + seconds)

    def families(self) -> Iterator[Metric]:
        """Yield what was counted."""
        with self._lock:
            answers = dict(self._answers)
            seconds = {
                path: (list(counts), total) for path, (counts, total) in self._seconds.items()
            }
        requests = CounterMetricFamily(
            "gimbal_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for labels, count in answers.items():
            requests.add_metric(labels, count)
        yield requests
        durations = HistogramMetricFamily(
            "gimbal_http_request_seconds", "Time until an answer was sent.", labels=("route",)
        )
        for path, (counts, total) in seconds.items():
            durations.add_metric((path,), _cumulative(_BOUNDS_S, counts), total)
        yield durations


class Exporter:
    """Writes everything in Prometheus' text format.

    Args:
        counts: Returns the number of jobs in each state.
        gpus: Returns every card.
        stats: The controller's numbers; None: it runs in another process.
        http: The API's own.
        streams: Returns how many logs are followed.
    """

    def __init__(
        self,
        *,
        counts: Callable[[], Mapping[JobState, int]],
        gpus: Callable[[], tuple[Gpu, ...]],
        stats: ControllerStats | None,
        http: HttpStats,
        streams: Callable[[], int],
    ) -> None:
        self._counts, self._gpus, self._stats = counts, gpus, stats
        self._http, self._streams = http, streams
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return every metric."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the registry."""
        yield _jobs(self._counts())
        yield from _cards(self._gpus())
        if self._stats is not None:
            yield from _controller(self._stats)
        yield GaugeMetricFamily(
            "gimbal_log_streams", "Logs that are followed now.", value=self._streams()
        )
        yield from self._http.families()


def _jobs(counts: Mapping[JobState, int]) -> Metric:
    jobs = GaugeMetricFamily("gimbal_jobs", "Jobs by state.", labels=("state",))
    for state in JobState:
        jobs.add_metric((state.value,), counts.get(state, 0))
    return jobs


def _cards(gpus: tuple[Gpu, ...]) -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        "gimbal_gpu_memory_bytes", "Memory on a card by owner.", labels=("gpu", "owner")
    )
    total = GaugeMetricFamily("gimbal_gpu_memory_total_bytes", "Memory of a card.", labels=("gpu",))
    state = GaugeMetricFamily(
        "gimbal_gpu_state", "1 for the state it is in.", labels=("gpu", "state")
    )
    for gpu in gpus:
        memory.add_metric((gpu.label, "own"), gpu.own_bytes)
        memory.add_metric((gpu.label, "foreign"), gpu.foreign_bytes)
        total.add_metric((gpu.label,), gpu.total_bytes)
        for condition in Condition:
            state.add_metric((gpu.label, condition.value), float(gpu.condition is condition))
    yield from (memory, total, state)


def _controller(stats: ControllerStats) -> Iterator[Metric]:
    yield _histogram("gimbal_scheduler_decision_seconds", "Time a decision took.", stats.decision_s)
    yield _histogram(
        "gimbal_queue_wait_seconds", "Time from the queue to the cards.", stats.queue_wait_s
    )
    yield _by_class("gimbal_retries", "Attempts queued again, by class.", stats.retries)
    yield _by_class("gimbal_failures", "Attempts that failed, by class.", stats.failures)
    yield _by_class("gimbal_oom", "Attempts that ran out of memory, by class.", stats.ooms())
    yield CounterMetricFamily("gimbal_placements", "Attempts started.", value=stats.placements)
    yield CounterMetricFamily(
        "gimbal_ray_unavailable", "Rounds that Ray did not answer.", value=stats.unavailable
    )
    yield GaugeMetricFamily(
        "gimbal_controller_leading", "1 where this process decides.", value=float(stats.leading)
    )


def _by_class(name: str, words: str, counts: Mapping[FailureClass, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=("class",))
    for kind in FailureClass:
        if kind in counts:
            family.add_metric((kind.value,), counts[kind])
    return family


def _histogram(name: str, words: str, histogram: Histogram) -> Metric:
    buckets, total = histogram.buckets()
    named = [("+Inf" if bound == float("inf") else str(bound), count) for bound, count in buckets]
    return HistogramMetricFamily(name, words, buckets=named, sum_value=total)


def _cumulative(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, int]]:
    so_far, buckets = 0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    return buckets
