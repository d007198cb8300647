// Verifies a webhook that is signed by a key pair. Usage: node v1a.js PUBLIC_KEY ID TIMESTAMP SIGNATURE < body
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

const TOLERANCE = 5 * 60; // seconds that a request may be old, or ahead of our clock

/** Whether `body` (a Buffer of the raw bytes, before any parsing) was sent by who has the private key. */
function verify(publicKey, id, timestamp, signature, body) {
  if (!/^[0-9]+$/.test(timestamp)) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const x = Buffer.from(publicKey.replace(/^whpk_/, ""), "base64").toString("base64url");
  const key = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  // While keys are rotated there is one signature for each; any of them will do.
  return signature.split(" ").some((entry) => {
    const [version, value = ""] = entry.split(",", 2);
    const given = Buffer.from(value, "base64");
    return version === "v1a" && given.length === 64 && crypto.verify(null, content, key, given);
  });
}

module.exports = { verify };

if (require.main === module) {
  const [publicKey, id, timestamp, signature] = process.argv.slice(2);
  process.exit(verify(publicKey, id, timestamp, signature, fs.readFileSync(0)) ? 0 : 1);
}
