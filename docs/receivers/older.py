"""Verifies a webhook that is signed in an older form. Usage: older.py FORM SECRET < request.json
with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}. Copy the one that is yours."""

import base64
import hashlib
import hmac
import json
import sys
import time

TOLERANCE = 5 * 60  # seconds that a request may be old, or ahead of our clock

# `headers` have lower-case names, `body` is the raw bytes, before any parsing. The key is the secret's
# text as it is, with `whsec_` if it begins so.


def sha256_body(headers: dict, body: bytes, secret: str) -> bool:
    """X-Webhook-Signature: sha256=<hex of the body>"""
    return equal(headers.get("x-webhook-signature"), "sha256=" + digest(secret, body).hex())


def hex_body(headers: dict, body: bytes, secret: str) -> bool:
    """X-Webhook-Signature: <hex of the body>"""
    return equal(headers.get("x-webhook-signature"), digest(secret, body).hex())


def hex_data(headers: dict, body: bytes, secret: str) -> bool:
    """X-Webhook-Signature: <hex of the JSON of data>"""
    data = json.dumps(json.loads(body)["data"], separators=(",", ":"), ensure_ascii=False)
    return equal(headers.get("x-webhook-signature"), digest(secret, data.encode()).hex())


def hex_timestamp_body(headers: dict, body: bytes, secret: str) -> bool:
    """X-Webhook-Signature: <hex of timestamp.body>"""
    timestamp = headers.get("x-webhook-timestamp", "")
    expected = digest(secret, timestamp.encode() + b"." + body).hex()
    return is_recent(timestamp) and equal(headers.get("x-webhook-signature"), expected)


def base64_body(headers: dict, body: bytes, secret: str) -> bool:
    """X-Webhook-Signature: <base64 of the body>"""
    expected = base64.b64encode(digest(secret, body)).decode()
    return equal(headers.get("x-webhook-signature"), expected)


def combined(headers: dict, body: bytes, secret: str) -> bool:
    """X-Signature: t=<unix>,v1=<hex of timestamp.body>, with one v1 for each secret while they are rotated"""
    parts = [part.partition("=")[::2] for part in headers.get("x-signature", "").split(",")]
    timestamp = next((value for name, value in parts if name == "t"), "")
    expected = digest(secret, timestamp.encode() + b"." + body).hex()
    return is_recent(timestamp) and any(name == "v1" and equal(value, expected) for name, value in parts)


def careem(headers: dict, body: bytes, secret: str) -> bool:
    """X-Careem-Signature: <hex of timestamp.body>"""
    timestamp = headers.get("x-careem-timestamp", "")
    expected = digest(secret, timestamp.encode() + b"." + body).hex()
    return is_recent(timestamp) and equal(headers.get("x-careem-signature"), expected)


def deliveroo(headers: dict, body: bytes, secret: str) -> bool:
    """X-Deliveroo-HMAC-SHA256: <base64 of the body>"""
    expected = base64.b64encode(digest(secret, body)).decode()
    return equal(headers.get("x-deliveroo-hmac-sha256"), expected)


def digest(secret: str, content: bytes) -> bytes:
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def equal(given: "str | None", expected: str) -> bool:
    """In constant time."""
    return hmac.compare_digest((given or "").encode(), expected.encode())


def is_recent(timestamp: str) -> bool:
    return timestamp.isascii() and timestamp.isdigit() and abs(time.time() - int(timestamp)) <= TOLERANCE


if __name__ == "__main__":
    request = json.load(sys.stdin)
    form = globals()[sys.argv[1].replace("-", "_")]
    taken = form(request["headers"], base64.b64decode(request["body"]), sys.argv[2])
    sys.exit(0 if taken else 1)
