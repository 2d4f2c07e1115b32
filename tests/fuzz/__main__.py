"""Read all damaged inputs and update the documentation, or repeat one input: ``python -m fuzz [TARGET NUMBER]``."""

import sys
from pathlib import Path

from fuzz import campaign, document, targets


def main() -> int:
    if len(sys.argv) == 3:
        name, number = sys.argv[1], int(sys.argv[2])
        file = Path(f"{name}-{number}.fuzzed")
        file.write_bytes(targets.load(name).input(number))
        result = campaign.run(name, number, 1)
        print(result.report() or f"{name} {number}: {'accepted' if result.accepted else 'refused'}", file, sep="\n")
        return len(result.findings)
    results = []
    for name in targets.NAMES:
        results.append(campaign.run(name, 0, targets.load(name).inputs))
        print(results[-1])
    failed = [result for result in results if result.findings]
    if failed:
        print(*(result.report() for result in failed), sep="\n")
        return 1
    document.write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
