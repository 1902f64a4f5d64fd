"""What any program needs: configuration, files, logs, threads, proxies. Knows nothing of AWS and EICE."""
