"""What a Redis server's settings mean for messages that it acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.errors import ConfigError

__all__ = ["ASKED", "allowed", "promise"]

ASKED = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy")  # for CONFIG GET

_WORKERS = "what is acknowledged outlives the death of every worker"
_SYNCED = {
    "always": "and of the server (appendfsync always)",
    "everysec": "and of the server, but for its last second or two (appendfsync everysec)",
    "no": "and of the server, but for what its system had not written yet (appendfsync no)",
}


def promise(settings: Mapping[str, str] | None) -> str:
    """One line; ``settings`` is None where the server does not tell."""
    if settings is None:
        return f"{_WORKERS}; what of the server's death, it does not tell (CONFIG is forbidden)"
    if settings.get("appendonly") == "yes":
        return f"{_WORKERS}, {_SYNCED.get(settings.get('appendfsync', ''), _SYNCED['no'])}"
    if settings.get("save"):
        return (
            f"{_WORKERS}; with the server dies what came since its last snapshot"
            f" (save {settings['save']}; appendonly yes keeps more)"
        )
    return f"{_WORKERS}; with the server dies everything (appendonly no, no snapshots)"


def allowed(settings: Mapping[str, str] | None, *, where: str, eviction: bool) -> None:
    """Raises ConfigError for a server that may throw messages away, unless that was allowed."""
    policy = (settings or {}).get("maxmemory-policy", "noeviction")
    if policy != "noeviction" and not eviction:
        raise ConfigError(
            f"Redis at {where} throws keys away when its memory is full (maxmemory-policy"
            f" {policy}), messages too: set it to noeviction, or say ?allow_eviction=1 in the URL"
        )
