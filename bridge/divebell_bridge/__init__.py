"""The one door: the wire format, the answers to the guest, the meter."""
