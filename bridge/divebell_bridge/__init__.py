"""The one door out of the guest (`door`), and the money that model calls through it may cost (`money`)."""
