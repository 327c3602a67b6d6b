"""The warden of a Ray cluster as the controller knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.occupancy import HeldCard
from gimbal.gpus.settings import OccupancySettings
from gimbal.jobs.model import Hold
from gimbal.jobs.ports import LaunchUnavailable, ReserveFailed
from gimbal.jobs.ray_link import RayLink
from gimbal.scheduling.model import Gpu, GpuUuid, Grant, NodeName

if TYPE_CHECKING:
    from gimbal.gpus.warden_client import WardenClient


class RayGpuWarden:
    """Implements `gimbal.jobs.ports.GpuWarden`; this process must be connected to Ray.

    Args:
        occupancy: When a card counts as free.
        fence: How patient the fence is.
        link: Mends this process's connection when Ray does not answer; None: nobody does.
    """

    def __init__(
        self,
        occupancy: OccupancySettings | None = None,
        fence: FenceSettings | None = None,
        link: RayLink | None = None,
    ) -> None:
        self._occupancy = occupancy or OccupancySettings()
        self._fence = fence or FenceSettings()
        self._link = link
        self._client: WardenClient | None = None

    def snapshot(self) -> tuple[Gpu, ...]:
        """Return every card.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        gpus: tuple[Gpu, ...] = self._call("snapshot")
        return gpus

    def reserve(self, submission_id: str, grants: Sequence[Grant]) -> tuple[tuple[str, int], ...]:
        """Take exactly these cards in Ray's accounting; see the port.

        Raises:
            ReserveFailed: A card is not free any more. Nothing is held.
            LaunchUnavailable: Ray does not answer.
        """
        from gimbal.gpus.warden_client import RESERVE_S

        bundles: tuple[tuple[str, int], ...] = self._call(
            "reserve", submission_id, tuple(grants), timeout_s=RESERVE_S
        )
        return bundles

    def free(self, submission_id: str) -> None:
        """Let go of an attempt's cards; unknown names are ignored."""
        self._call("free", submission_id)

    def reservations(self) -> tuple[str, ...]:
        """Return the submission ids that hold cards."""
        names: tuple[str, ...] = self._call("reservations")
        return names

    def set_holds(self, holds: Sequence[Hold]) -> None:
        """Replace the holds of people."""
        self._call("set_holds", held_cards(holds))

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Replace the cards nobody should use until a person releases them, and why."""
        self._call("set_quarantines", dict(cards))

    def _call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        from gimbal.gpus.slots import CardsTaken
        from gimbal.gpus.warden_client import QUICK_S, WardenClient, WardenUnavailable

        if self._link is not None and not self._link.listening():
            self._mend()
            raise LaunchUnavailable("nobody listens at Ray's address")
        if self._client is None:
            self._client = WardenClient(self._occupancy, self._fence)
        try:
            return self._client.call(method, *args, timeout_s=timeout_s or QUICK_S)
        except CardsTaken as error:
            raise ReserveFailed(str(error)) from error
        except WardenUnavailable as error:
            self._mend()
            raise LaunchUnavailable(str(error)) from error

    def _mend(self) -> None:
        if self._link is not None and self._link.mend():
            self._client = None


def held_cards(holds: Sequence[Hold]) -> tuple[HeldCard, ...]:
    """Return the holds of people as the occupancy of the cards knows them."""
    return tuple(
        HeldCard(
            node=NodeName(hold.node),
            index=hold.index,
            until=hold.until.timestamp(),
            user=hold.user,
            reason=hold.reason,
        )
        for hold in holds
    )
