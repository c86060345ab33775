"""What every process needs: errors, exit codes, metrics, health, control of the heap, and options of HTTP clients."""
