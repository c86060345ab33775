"""What every process needs: errors, exit codes, metrics, health, and control of the heap."""
