"""`gimbal gpus`: who is on the cards of the cluster; claim one for yourself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal.cli.run_commands import print_json
from gimbal.cli.submit_command import AsJson, Server

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    help="Show who is on the cluster's GPUs; claim one, or give it back.",
    invoke_without_command=True,
)

Card = Annotated[str, typer.Argument(metavar="NODE:GPU", help="A card, as `gimbal gpus` names it.")]
_REFRESH_S = 2.0
_WORDS = "what is on it"
_COLOURS = {
    "free": "green",
    "ours": "cyan",
    "foreign": "red",
    "cooling": "yellow",
    "held": "magenta",
    "faulty": "bold red",
    "unknown": "dim",
}


@app.callback()
def gpus(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show every card: what is on it, whose that is, and when it counts as free.

    Examples:
      gimbal gpus

      gimbal gpus --watch

      gimbal gpus hold lab:3 --for 2h --reason "debugging by hand"
    """
    if context.invoked_subcommand is not None:
        return
    from gimbal.cli.api_client import ApiClient

    with ApiClient(server) as client:
        if as_json:
            print_json(client.get("/v1/gpus")["gpus"])
        elif watch:
            _watch(client)
        else:
            _print(client.get("/v1/gpus")["gpus"])


@app.command("hold")
def hold(
    card: Card,
    duration: Annotated[str, typer.Option("--for", help="How long, such as 2h or 90min.")],
    reason: Annotated[str, typer.Option("--reason", help="What for; others see it.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Claim a card: no new job is started on it until then.

    Example:
      gimbal gpus hold lab:3 --for 2h --reason "debugging by hand"
    """
    from gimbal.cli.api_client import ApiClient
    from gimbal.experiment.units import parse_duration

    node, index = _parsed(card)
    body = {"node": node, "gpu": index, "for_s": parse_duration(duration), "reason": reason}
    with ApiClient(server) as client:
        made = client.post("/v1/holds", body)
    if as_json:
        print_json(made)
    else:
        typer.echo(f"{card} is held by {made['user']} until {made['until']}")


@app.command("release")
def release(card: Card, server: Server = None) -> None:
    """End the claim on a card; for operators also the quarantine of one that is mended.

    Example:
      gimbal gpus release lab:3
    """
    from gimbal.cli.api_client import ApiClient

    node, index = _parsed(card)
    with ApiClient(server) as client:
        client.delete(f"/v1/holds/{node}/{index}")
    typer.echo(f"{card} is released")


def _parsed(card: str) -> tuple[str, int]:
    node, colon, index = card.rpartition(":")
    if not colon or not node or not index.isdecimal():
        raise typer.BadParameter(
            f"'{card}' is no card: write NODE:GPU, such as lab:3", param_hint="NODE:GPU"
        )
    return node, int(index)


def _watch(client: Any) -> None:
    from rich.live import Live

    from gimbal.cli.job_views import console

    with Live(console=console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(_table(client.get("/v1/gpus")["gpus"]), refresh=True)
            time.sleep(_REFRESH_S)


def _print(cards: list[dict[str, Any]]) -> None:
    from gimbal.cli.job_views import console

    if not cards:
        typer.echo("the service sees no GPUs")
        return
    console().print(_table(cards))


def _table(cards: list[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("GPU", "state", "ours", "foreign", "of", _WORDS):
        numeric = name in ("ours", "foreign", "of")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name != _WORDS)
    for card in cards:
        condition = card["condition"]
        table.add_row(
            card["label"],
            Text(condition, style=_COLOURS.get(condition, "")),
            _memory(card["own_bytes"]),
            _memory(card["foreign_bytes"]),
            _memory(card["total_bytes"]),
            _words(card),
        )
    return table


def _memory(size_bytes: int) -> str:
    from gimbal.experiment.units import in_bytes

    return in_bytes(size_bytes) if size_bytes else "–"


def _words(card: dict[str, Any]) -> str:
    words = [f"{job['id']} of {job['user']}" for job in card["jobs"]]
    if card["note"]:
        words.append(card["note"])
    return "; ".join(words)
