"""Verifies a request by the package `standardwebhooks`. Usage: standard.py SECRET < request.json"""

import base64
import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

request = json.load(sys.stdin)
body = base64.b64decode(request["body"])
try:
    Webhook(sys.argv[1]).verify(body, request["headers"], json_parse=False)
except WebhookVerificationError:
    sys.exit(1)
