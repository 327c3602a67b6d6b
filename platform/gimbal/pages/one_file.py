"""What makes a page one safe file: its content policy and its scripts.

The page forbids itself the network: its content policy allows no address at all, and only the
scripts whose hashes it lists may run. Should an escape ever be forgotten, a script smuggled in
through a name would still not start.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence


def script_safe(source: str) -> str:
    """Keep text inside a script from closing its element."""
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def content_policy(scripts: Sequence[str]) -> str:
    """Return a policy that allows exactly these inline scripts and no network address.

    Args:
        scripts: The text between each script's tags, as it stands in the page.
    """
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts)
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
