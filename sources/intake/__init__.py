"""What sources take in: records become events, the broker acknowledges them, the owner index remembers them."""
