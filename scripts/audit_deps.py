"""Ask pip-audit for known vulnerabilities of the locked dependencies: runtime, extras and development.

Exit code 1 if there are any. Where the service is not to be reached, that is said, and the exit code is 0: nothing is
known then, which is no finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKED = ROOT / "requirements" / "dev.txt"


def main() -> int:
    """Print what is known."""
    uv = Path(sys.executable).with_name("uv")
    words: list[str | Path] = [
        uv,
        "tool",
        "run",
        "pip-audit",
        "-r",
        LOCKED,
        "--no-deps",
        "--disable-pip",
        "-f",
        "json",
        "--progress-spinner=off",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError):
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
        print(f"NOT AUDITED: pip-audit could not ask: {why}")
        return 0
    skipped = [each["name"] for each in found if "skip_reason" in each]
    bad = [each for each in found if each.get("vulns")]
    for each in bad:
        for vuln in each["vulns"]:
            fixed = ", ".join(vuln["fix_versions"]) or "no version yet"
            print(f"{each['name']} {each['version']}: {vuln['id']}, mended in {fixed}")
    print(f"{len(found) - len(skipped)} packages audited, {len(bad)} with known vulnerabilities")
    if skipped:
        print(
            f"NOT AUDITED: {len(skipped)} packages that the service does not know, or that it could not be asked about"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
