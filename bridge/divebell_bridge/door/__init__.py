"""The door: the one way out of the guest, its wire format, and the facts that both sides share."""
