// Verifies a webhook. Usage: node verify.js SECRET ID TIMESTAMP SIGNATURE < body
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

const TOLERANCE = 5 * 60; // seconds that a request may be old, or ahead of our clock

/** Whether `body` (a Buffer of the raw bytes, before any parsing) was sent by who knows `secret`. */
function verify(secret, id, timestamp, signature, body) {
  if (!/^[0-9]+$/.test(timestamp)) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = crypto.createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // While secrets are rotated there is one signature for each; any of them will do.
  return signature.split(" ").some((entry) => {
    const [version, value = ""] = entry.split(",", 2);
    const given = Buffer.from(value, "base64");
    return version === "v1" && given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}

module.exports = { verify };

if (require.main === module) {
  const [secret, id, timestamp, signature] = process.argv.slice(2);
  process.exit(verify(secret, id, timestamp, signature, fs.readFileSync(0)) ? 0 : 1);
}
