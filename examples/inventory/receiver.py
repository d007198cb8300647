"""A receiver of inventory webhooks as its users have it: nothing in it knows of Hooktide.

Usage: receiver.py SECRET < request.json with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}
It says what it did and ends with 0, or ends with 1 for a request that it refuses."""

import base64
import hashlib
import hmac
import json
import sys
from datetime import datetime

EVENTS = {
    "item-created": "item {itemId} in {location}",
    "item-updated": "item {itemId} in {location}",
    "item-deleted": "item {itemId} in {location}",
    "low-stock-alert": "order more of {sku}: {currentStock} left in {location}",
    "transfer-approval-needed": "transfer {transferId}: {fromLocation} to {toLocation}",
    "transfer-approved": "transfer {transferId}: {fromLocation} to {toLocation}",
    "transfer-rejected": "transfer {transferId}: {fromLocation} to {toLocation}",
    "item-checkout": "item {itemId} and user {userId}",
    "item-checkin": "item {itemId} and user {userId}",
    "user-login": "user {userId}",
    "user-logout": "user {userId}",
}


def receive(headers: dict, body: bytes, secret: str) -> "str | None":
    """What became of a request; None for one that is refused. `headers` have lower-case names."""
    event = json.loads(body)
    # X-Webhook-Signature is the HMAC-SHA256 of the JSON of `data`, in hexadecimal.
    data = json.dumps(event["data"], separators=(",", ":"), ensure_ascii=False)
    expected = hmac.new(secret.encode(), data.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(headers.get("x-webhook-signature", "").encode(), expected.encode()):
        return None
    # X-Webhook-ID is there for those who keep the ids that they have seen.
    if not headers.get("x-webhook-id"):
        return None
    event_type = headers.get("x-event-type")
    if event_type != event["event"] or event_type not in EVENTS:
        return None
    datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
    return EVENTS[event_type].format(**event["data"])


if __name__ == "__main__":
    request = json.load(sys.stdin)
    done = receive(request["headers"], base64.b64decode(request["body"]), sys.argv[1])
    if done is None:
        sys.exit(1)
    print(done)
