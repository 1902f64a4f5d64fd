"""The beginnings of the tests' own worlds, to be joined: images, and the network that their machines are in."""

AMAZON_LINUX = """
[[image]]
key = "amazon-linux"
name = "al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64"
users = ["ec2-user"]
"""

UBUNTU = """
[[image]]
key = "ubuntu"
name = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260301"
owner = "099720109477"
users = ["ubuntu"]
"""

WINDOWS = """
[[image]]
key = "windows"
name = "Windows_Server-2025-English-Full-Base-2026.03.11"
platform = "windows"
users = ["Administrator"]
"""

NETWORK = """
[[vpc]]
cidr = "10.0.0.0/16"

[[vpc.subnet]]
name = "a"
cidr = "10.0.1.0/24"
"""
"""10.0.0.0/16 with one subnet, 10.0.1.0/24. Groups, instances and databases that follow are in it."""
