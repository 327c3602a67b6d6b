"""The commands under `gimbal nero`."""

from __future__ import annotations

import typer

from gimbal_nero.commands.env_light import env_light_command
from gimbal_nero.commands.export import export_command
from gimbal_nero.commands.fit_material import fit_material_command
from gimbal_nero.commands.mesh import mesh_command
from gimbal_nero.commands.novel_views import novel_views_command
from gimbal_nero.commands.prepare import prepare_command
from gimbal_nero.commands.relight import relight_command
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
app.command("export")(export_command)
app.command("relight")(relight_command)
app.command("novel-views")(novel_views_command)
app.command("env-light")(env_light_command)
