"""The data plane: everything that moves bytes. Knows no boto3 client and no Click."""
