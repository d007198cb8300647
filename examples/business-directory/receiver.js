// A receiver of the business directory's webhooks as its developers have it: nothing in it knows of Hooktide.
// Usage: node receiver.js SECRET < request.json with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}
// It says what it did and ends with 0, or ends with 1 for a request that it refuses.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

const TOLERANCE = 5 * 60; // seconds
const OBJECTS = ["business", "review", "user", "api"];

/** What became of a request; null for one that is refused. `headers` have lower-case names. */
function receive(headers, body, secret) {
  // X-Webhook-Signature: sha256=<HMAC-SHA256 of the raw body, in hexadecimal>
  const expected = "sha256=" + crypto.createHmac("sha256", secret).update(body).digest("hex");
  if (!equal(headers["x-webhook-signature"], expected)) return null;
  // X-Webhook-Timestamp: when this request was made, in Unix seconds.
  const age = Date.now() / 1000 - Number(headers["x-webhook-timestamp"]);
  if (!(Math.abs(age) <= TOLERANCE)) return null;
  if (!headers["user-agent"]?.startsWith("BusinessDirectory-Webhooks/")) return null;

  const { id, type, created, data, webhook } = JSON.parse(body);
  if (typeof id !== "string" || Number.isNaN(Date.parse(created)) || typeof data !== "object") return null;
  if (typeof webhook.subscription_id !== "string" || !(webhook.delivery_attempt >= 1)) return null;
  const [object, action] = type.split(".");
  if (!OBJECTS.includes(object)) return null;
  return `${object} ${data.id ?? ""} ${action} (attempt ${webhook.delivery_attempt})`;
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
