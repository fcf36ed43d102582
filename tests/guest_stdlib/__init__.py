"""CPython's own tests, run in the guest and compared with what is expected of it: `./build.sh guest-stdlib --help`."""
