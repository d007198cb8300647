// A receiver of the integration hub's webhooks as its users have it: nothing in it knows of Hooktide.
// Usage: node receiver.js SECRET < request.json with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}
// It says what it did and ends with 0, or ends with 1 for a request that it refuses.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

/** What became of a request; null for one that is refused. `headers` have lower-case names. */
function receive(headers, body, secret) {
  // X-Webhook-Signature: <HMAC-SHA256 of the raw body, in hexadecimal>. The key is the whole text `whsec_...`.
  const expected = crypto.createHmac("sha256", secret).update(body).digest("hex");
  if (!equal(headers["x-webhook-signature"], expected)) return null;
  if (!headers["x-webhook-id"]) return null;

  const { hookId, event, data, timestamp } = JSON.parse(body);
  if (typeof hookId !== "string" || Number.isNaN(Date.parse(timestamp))) return null;
  if (headers["x-event-type"] !== event) return null;
  switch (event.split(/[./]/)[0]) {
    case "payment":
      return `${hookId}: ${event} of ${data.amount} ${data.currency}`;
    case "sms":
      return `${hookId}: ${event} ${data.messageId}`;
    case "orders":
    case "products":
      return `${hookId}: ${event} ${data.shopifyId}`;
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
  const done = receive(headers, Buffer.from(body, "base64"), process.argv[2]);
  if (done !== null) console.log(done);
  process.exitCode = done === null ? 1 : 0;
}
