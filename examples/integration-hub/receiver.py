"""A receiver of the integration hub's webhooks as its users have it: nothing in it knows of Hooktide.

Usage: receiver.py SECRET < request.json with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}
It says what it did and ends with 0, or ends with 1 for a request that it refuses."""

import base64
import hashlib
import hmac
import json
import re
import sys
from datetime import datetime

EVENTS = {
    "payment": "{amount} {currency}",
    "sms": "{messageId}",
    "orders": "{shopifyId}",
    "products": "{shopifyId}",
}


def receive(headers: dict, body: bytes, secret: str) -> "str | None":
    """What became of a request; None for one that is refused. `headers` have lower-case names."""
    # X-Webhook-Signature: <HMAC-SHA256 of the raw body, in hexadecimal>. The key is the whole text `whsec_...`.
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(headers.get("x-webhook-signature", "").encode(), expected.encode()):
        return None
    if not headers.get("x-webhook-id"):
        return None

    hook = json.loads(body)
    datetime.fromisoformat(hook["timestamp"].replace("Z", "+00:00"))
    kind = re.split("[./]", hook["event"])[0]
    if not isinstance(hook["hookId"], str) or headers.get("x-event-type") != hook["event"] or kind not in EVENTS:
        return None
    return f"{hook['hookId']}: {hook['event']} {EVENTS[kind].format(**hook['data'])}"


if __name__ == "__main__":
    request = json.load(sys.stdin)
    done = receive(request["headers"], base64.b64decode(request["body"]), sys.argv[1])
    if done is None:
        sys.exit(1)
    print(done)
