"""Verifies a webhook that is signed by a key pair. Usage: v1a.py PUBLIC_KEY ID TIMESTAMP SIGNATURE < body

Needs the package `cryptography`: Python's own library has no ed25519."""

import base64
import binascii
import sys
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 5 * 60  # seconds that a request may be old, or ahead of our clock


def verify(public_key: str, webhook_id: str, timestamp: str, signature: str, body: bytes) -> bool:
    """Whether `body` (the raw bytes, before any parsing) was sent by who has the private key."""
    try:
        sent_at = int(timestamp)
        raw_key = base64.b64decode(public_key.removeprefix("whpk_"), validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw_key)
    except (ValueError, binascii.Error):
        return False
    if abs(time.time() - sent_at) > TOLERANCE:
        return False
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    # While keys are rotated there is one signature for each; any of them will do.
    for entry in signature.split(" "):
        version, _, value = entry.partition(",")
        if version != "v1a":
            continue
        try:
            key.verify(base64.b64decode(value, validate=True), signed)
            return True
        except (InvalidSignature, ValueError, binascii.Error):
            continue
    return False


if __name__ == "__main__":
    sys.exit(0 if verify(*sys.argv[1:5], sys.stdin.buffer.read()) else 1)
