"""The Python half of the guest: it runs cells, answers the host, and gives model code its names.

Loaded into the image once, when it boots (wasm/ABI.md, `divebell_boot`); not importable on the host. None of it guards
anything: a cell can reach and change all of it. The guards are on the host's side of the door.
"""
