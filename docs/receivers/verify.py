"""Verifies a webhook. Usage: verify.py SECRET ID TIMESTAMP SIGNATURE < body"""

import base64
import binascii
import hashlib
import hmac
import sys
import time

TOLERANCE = 5 * 60  # seconds that a request may be old, or ahead of our clock


def verify(secret: str, webhook_id: str, timestamp: str, signature: str, body: bytes) -> bool:
    """Whether `body` (the raw bytes, before any parsing) was sent by who knows `secret`."""
    try:
        sent_at = int(timestamp)
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (ValueError, binascii.Error):
        return False
    if abs(time.time() - sent_at) > TOLERANCE:
        return False
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # While secrets are rotated there is one signature for each; any of them will do.
    for entry in signature.split(" "):
        version, _, value = entry.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected):
            return True
    return False


if __name__ == "__main__":
    sys.exit(0 if verify(*sys.argv[1:5], sys.stdin.buffer.read()) else 1)
