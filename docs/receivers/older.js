// Verifies a webhook that is signed in an older form. Usage: node older.js FORM SECRET < request.json
// with {"headers": {"lower-case-name": "value"}, "body": "<base64>"}. Copy the one that is yours.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

const TOLERANCE = 5 * 60; // seconds that a request may be old, or ahead of our clock

// `headers` have lower-case names, `body` is a Buffer of the raw bytes, before any parsing. The key is the
// secret's text as it is, with `whsec_` if it begins so.
const forms = {
  // X-Webhook-Signature: sha256=<hex of the body>
  "sha256-body": (headers, body, secret) =>
    equal(headers["x-webhook-signature"], "sha256=" + hmac(secret, body).digest("hex")),

  // X-Webhook-Signature: <hex of the body>
  "hex-body": (headers, body, secret) =>
    equal(headers["x-webhook-signature"], hmac(secret, body).digest("hex")),

  // X-Webhook-Signature: <hex of the JSON of data>
  "hex-data": (headers, body, secret) => {
    const data = JSON.stringify(JSON.parse(body).data);
    return equal(headers["x-webhook-signature"], hmac(secret, data).digest("hex"));
  },

  // X-Webhook-Signature: <hex of timestamp.body>
  "hex-timestamp-body": (headers, body, secret) => {
    const timestamp = headers["x-webhook-timestamp"];
    const expected = hmac(secret, `${timestamp}.`).update(body).digest("hex");
    return isRecent(timestamp) && equal(headers["x-webhook-signature"], expected);
  },

  // X-Webhook-Signature: <base64 of the body>
  "base64-body": (headers, body, secret) =>
    equal(headers["x-webhook-signature"], hmac(secret, body).digest("base64")),

  // X-Signature: t=<unix>,v1=<hex of timestamp.body>, with one v1 for each secret while they are rotated
  combined: (headers, body, secret) => {
    const parts = (headers["x-signature"] ?? "").split(",").map((part) => part.split("=", 2));
    const timestamp = parts.find(([name]) => name === "t")?.[1];
    const expected = hmac(secret, `${timestamp}.`).update(body).digest("hex");
    return isRecent(timestamp) && parts.some(([name, value]) => name === "v1" && equal(value, expected));
  },

  // X-Careem-Signature: <hex of timestamp.body>
  careem: (headers, body, secret) => {
    const timestamp = headers["x-careem-timestamp"];
    const expected = hmac(secret, `${timestamp}.`).update(body).digest("hex");
    return isRecent(timestamp) && equal(headers["x-careem-signature"], expected);
  },

  // X-Deliveroo-HMAC-SHA256: <base64 of the body>
  deliveroo: (headers, body, secret) =>
    equal(headers["x-deliveroo-hmac-sha256"], hmac(secret, body).digest("base64")),
};

function hmac(secret, content) {
  return crypto.createHmac("sha256", secret).update(content);
}

/** In constant time. */
function equal(given, expected) {
  const [a, b] = [Buffer.from(given ?? ""), Buffer.from(expected)];
  return a.length === b.length && crypto.timingSafeEqual(a, b);
}

function isRecent(timestamp) {
  return /^[0-9]+$/.test(timestamp ?? "") && Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE;
}

module.exports = forms;

if (require.main === module) {
  const [form, secret] = process.argv.slice(2);
  const { headers, body } = JSON.parse(fs.readFileSync(0));
  process.exit(forms[form](headers, Buffer.from(body, "base64"), secret) ? 0 : 1);
}
