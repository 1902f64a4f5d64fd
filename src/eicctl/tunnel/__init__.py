"""The data plane: everything that moves bytes. Knows no client of botocore and no Click."""
