"""Webhooks with a signature, as their senders make it."""

import base64
import hashlib
import hmac
import time


def signed(secret: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    id, sent = "msg_1", str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{sent}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
