"""A gateway of a script's own: on a free port of loopback, and ended with the script. Not a program by itself."""

import atexit
import pathlib
import socket
import subprocess
import tempfile


class Gateway:
    """One for each measurement. `core` pins it, `limits` go into its configuration."""

    def __init__(self, binary, *flags, core=None, limits=None):
        pin = [] if core is None else ["taskset", "-c", str(core)]
        command = [*pin, str(binary), "serve", "--listen", "127.0.0.1:0", *flags]
        if limits:
            self.config = tempfile.NamedTemporaryFile("w", suffix=".toml")
            self.config.write("[limits]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items()))
            self.config.flush()
            command += ["--config", self.config.name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.port = None
        for line in self.process.stdout:
            if line.startswith("listening on http://"):
                self.port = int(line.rsplit(":", 1)[1])
            if line.strip() == "ready":
                return
        raise SystemExit("the gateway did not start")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port))

    def cpu_ns(self):
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def end(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
