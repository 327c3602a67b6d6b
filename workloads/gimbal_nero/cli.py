"""The commands under `gimbal nero`."""

from __future__ import annotations

import typer

from gimbal_nero.commands.fit_material import fit_material_command
from gimbal_nero.commands.mesh import mesh_command
from gimbal_nero.commands.prepare import prepare_command
from gimbal_nero.commands.synthesize import synthesize_command
from gimbal_nero.commands.watch import watch_command

HELP = "Reflective objects: their shape, material and light from photographs, and relighting."

app = typer.Typer(help=HELP, no_args_is_help=True)


@app.callback(help=HELP)
def _nero() -> None:
    """Hold the commands together."""


app.command("synthesize")(synthesize_command)
app.command("prepare")(prepare_command)
app.command("mesh")(mesh_command)
app.command("watch")(watch_command)
app.command("fit-material")(fit_material_command)
