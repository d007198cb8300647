"""A receiver of the business directory's webhooks as its developers have it: nothing in it knows of Hooktide.

Usage: receiver.py SECRET < request.json with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}
It says what it did and ends with 0, or ends with 1 for a request that it refuses."""

import base64
import hashlib
import hmac
import json
import sys
import time
from datetime import datetime

TOLERANCE = 5 * 60  # seconds
OBJECTS = ("business", "review", "user", "api")


def receive(headers: dict, body: bytes, secret: str) -> "str | None":
    """What became of a request; None for one that is refused. `headers` have lower-case names."""
    # X-Webhook-Signature: sha256=<HMAC-SHA256 of the raw body, in hexadecimal>
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(headers.get("x-webhook-signature", "").encode(), expected.encode()):
        return None
    # X-Webhook-Timestamp: when this request was made, in Unix seconds.
    if abs(time.time() - int(headers.get("x-webhook-timestamp", "0"))) > TOLERANCE:
        return None
    if not headers.get("user-agent", "").startswith("BusinessDirectory-Webhooks/"):
        return None

    event = json.loads(body)
    datetime.fromisoformat(event["created"].replace("Z", "+00:00"))
    webhook = event["webhook"]
    if not isinstance(webhook["subscription_id"], str) or webhook["delivery_attempt"] < 1:
        return None
    kind, action = event["type"].split(".", 1)
    if kind not in OBJECTS:
        return None
    return f"{kind} {event['data'].get('id', '')} {action} (attempt {webhook['delivery_attempt']})"


if __name__ == "__main__":
    request = json.load(sys.stdin)
    done = receive(request["headers"], base64.b64decode(request["body"]), sys.argv[1])
    if done is None:
        sys.exit(1)
    print(done)
