"""
The configuration snapshot: exactly what can change an output, so that `trace` can rerun it.

Rules of this file: a snapshot loads like a site; nothing outside it has a say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

#: keeps what came from outside the site's folder: the environment's name and variables
OUTSIDE_FILE = ".outside.json"


def snapshot_files(
    files: Mapping[str, bytes], environ_used: Mapping[str, str], env_name: str | None
) -> dict[str, bytes]:
    """Return the files that can change an output; the same site gives the same mapping."""
    outside = {"env": env_name, "environ": dict(sorted(environ_used.items()))}
    kept = {name: files[name] for name in sorted(files) if _changes_outputs(name, env_name)}
    kept[OUTSIDE_FILE] = json.dumps(outside, sort_keys=True, ensure_ascii=False).encode()
    return kept


def open_snapshot(
    files: Mapping[str, bytes],
) -> tuple[dict[str, bytes], dict[str, str], str | None]:
    """Return the site's files, the environment variables and the environment's name."""
    outside = json.loads(files.get(OUTSIDE_FILE, b"{}"))
    site = {name: content for name, content in files.items() if name != OUTSIDE_FILE}
    return site, dict(outside.get("environ", {})), outside.get("env")


def _changes_outputs(name: str, env_name: str | None) -> bool:
    if name.startswith("sample_messages/") or name.startswith("channels/expected/"):
        return False
    if name.startswith("environments/"):
        return name == f"environments/{env_name}.yaml"
    return not (name.startswith("channels/") and name.endswith("_test.yaml"))
