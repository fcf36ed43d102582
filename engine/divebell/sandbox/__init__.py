"""The sandbox: a sealed guest with its context, its tools and the door."""
