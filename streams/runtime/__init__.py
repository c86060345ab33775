"""What every process of the product needs: failures and exit codes, metrics, health, the heap."""
