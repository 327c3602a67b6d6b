"""`gimbal tokens`: who may use the service."""

from __future__ import annotations

from typing import Annotated

import typer

from gimbal.cli.run_commands import print_json
from gimbal.cli.submit_command import AsJson, Server

app = typer.Typer(help="Make, list and revoke access tokens (operators).", no_args_is_help=True)


@app.command("create")
def create(
    user: Annotated[str, typer.Option("--user", help="Whose jobs it submits.")],
    role: Annotated[str, typer.Option("--role", help="viewer, user or operator.")] = "user",
    lasts: Annotated[
        str | None, typer.Option("--for", help="How long it is valid, such as 90d; else always.")
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Make a token; it is shown this once, for its user to put in GIMBAL_TOKEN.

    Examples:
      gimbal tokens create --user ada

      gimbal tokens create --user grafana --role viewer --for 90d
    """
    from gimbal.cli.api_client import ApiClient
    from gimbal.experiment.units import parse_duration

    body = {
        "user": user,
        "role": role,
        "expires_in_s": None if lasts is None else int(parse_duration(lasts)),
    }
    with ApiClient(server) as client:
        made = client.post("/v1/tokens", body)
    if as_json:
        print_json(made)
        return
    typer.echo(made["token"])
    typer.echo(f"  for {made['user']}: export GIMBAL_TOKEN=…  (it is not shown again)", err=True)


@app.command("list")
def list_tokens(server: Server = None, as_json: AsJson = False) -> None:
    """List the tokens that are valid; never the tokens themselves.

    Example:
      gimbal tokens list
    """
    from gimbal.cli.api_client import ApiClient

    with ApiClient(server) as client:
        tokens = client.get("/v1/tokens")["tokens"]
    if as_json:
        print_json(tokens)
        return
    for token in tokens:
        until = token["expires_at"] or "no end"
        typer.echo(f"{token['id']:>4}  {token['user']:<16} {token['role']:<9} until {until}")


@app.command("revoke")
def revoke(
    token_id: Annotated[int, typer.Argument(help="Its number in `gimbal tokens list`.")],
    server: Server = None,
) -> None:
    """Revoke a token.

    Example:
      gimbal tokens revoke 3
    """
    from gimbal.cli.api_client import ApiClient

    with ApiClient(server) as client:
        client.delete(f"/v1/tokens/{token_id}")
    typer.echo(f"token {token_id} is revoked")
