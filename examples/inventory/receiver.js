// A receiver of inventory webhooks as its users have it: nothing in it knows of Hooktide.
// Usage: node receiver.js SECRET < request.json with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}
// It says what it did and ends with 0, or ends with 1 for a request that it refuses.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

/** What became of a request; null for one that is refused. `headers` have lower-case names. */
function receive(headers, body, secret) {
  const event = JSON.parse(body);
  // X-Webhook-Signature is the HMAC-SHA256 of the JSON of `data`, in hexadecimal.
  const expected = crypto.createHmac("sha256", secret).update(JSON.stringify(event.data)).digest("hex");
  if (!equal(headers["x-webhook-signature"], expected)) return null;
  // X-Webhook-ID is there for those who keep the ids that they have seen.
  if (!headers["x-webhook-id"]) return null;
  if (headers["x-event-type"] !== event.event) return null;
  if (typeof event.id !== "string" || Number.isNaN(Date.parse(event.timestamp))) return null;

  const { data } = event;
  switch (headers["x-event-type"]) {
    case "item-created":
    case "item-updated":
    case "item-deleted":
      return `item ${data.itemId} in ${data.location}`;
    case "low-stock-alert":
      return `order more of ${data.sku}: ${data.currentStock} left in ${data.location}`;
    case "transfer-approval-needed":
    case "transfer-approved":
    case "transfer-rejected":
      return `transfer ${data.transferId}: ${data.fromLocation} to ${data.toLocation}`;
    case "item-checkout":
    case "item-checkin":
      return `item ${data.itemId} and user ${data.userId}`;
    case "user-login":
    case "user-logout":
      return `user ${data.userId}`;
    default:
      return null;
  }
}

/** In constant time. */
function equal(given, expected) {
  const [a, b] = [Buffer.from(given ?? ""), Buffer.from(expected)];
  return a.length === b.length && crypto.timingSafeEqual(a, b);
}

if (require.main === module) {
  const { headers, body } = JSON.parse(fs.readFileSync(0));
  const done = receive(headers, Buffer.from(body, "base64").toString(), process.argv[2]);
  if (done !== null) console.log(done);
  process.exitCode = done === null ? 1 : 0;
}
