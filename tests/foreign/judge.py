"""What the clients in Python share: one line a check, a last line that counts, and a bound on every wait."""

import asyncio
import inspect
import sys

HANG_S = 20


class Judge:
    def __init__(self, client):
        self.client = client
        self.checks = []

    def check(self, name):
        """One check, in the order in which they are written."""
        return lambda act: self.checks.append((name, act))

    def run(self):
        """Runs the checks, prints how each went, and exits."""
        sys.exit(asyncio.run(self._run()))

    async def _run(self):
        passed = failed = 0
        for name, act in self.checks:
            try:
                if inspect.iscoroutinefunction(act):
                    await asyncio.wait_for(act(), HANG_S)
                else:
                    act()
                passed += 1
                print(f"ok      {self.client}: {name}", flush=True)
            except Exception as error:  # a judge goes on
                failed += 1
                print(f"FAILED  {self.client}: {name}: {type(error).__name__}: {error}", flush=True)
        print(f"{passed} passed, {failed} failed")
        return 0 if failed == 0 and passed > 0 else 1
