"""What is sent."""

SMALL = {
    "int": 7,
    "64 B": bytes(range(64)),
    "dict": {"id": 17, "name": "penstock", "ratio": 0.5, "tags": ["a", "b"]},
    "1 KiB": bytes(range(256)) * 4,
}
LARGE = {
    "1 MiB bytes": bytes(range(256)) * 4096,
    "1 MiB bytearray": bytearray(range(256)) * 4096,
}
ALL = SMALL | LARGE
