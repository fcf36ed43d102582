"""The machinery under a sandbox: the compiled module, the image, instances, memory pages and the watchdog."""
