"""Samples recorded from Celery and Redis, as tests read them."""

import base64
import json
import zlib
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "wire"


def names(*prefixes):
    """The names of the samples that begin with one of these."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem.startswith(prefixes))


def sample(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def raw(name):
    return sample(name)["raw"]


def envelopes(name):
    """The envelopes in a sample, parsed by the plain parser: typed values stay maps."""
    lines = raw(name).split("\n")
    if name.startswith("key-unacked"):
        lines = [line[line.index("[") :] for line in lines if "[{" in line]
    found = [json.loads(line) for line in lines if line.startswith(("{", "["))]
    return [one[0] if isinstance(one, list) else one for one in found]


def plain_body(envelope):
    """The body of an envelope, parsed by the plain parser."""
    body = envelope["body"]
    if envelope["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body)
        if envelope["headers"].get("compression"):
            body = zlib.decompress(body)
    return json.loads(body)
