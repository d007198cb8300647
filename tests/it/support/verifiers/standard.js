// Verifies a request by the package `standardwebhooks`. Usage: node standard.js SECRET < request.json
"use strict";

const fs = require("node:fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const { headers, body } = JSON.parse(fs.readFileSync(0));
try {
  new Webhook(process.argv[2]).verify(Buffer.from(body, "base64"), headers);
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  process.exit(1);
}
