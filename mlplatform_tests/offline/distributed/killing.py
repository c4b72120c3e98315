"""SIGKILL of a worker process while it is at work on a training."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil  # type: ignore[import-untyped]


class Assassin:
    """Sends a signal to one worker of `client` once it has computed on a task called `task` for a while.

    `victim` is its address, empty until then; `early` is whether the training was still going on.
    """

    def __init__(self, client: Any, task: str, sent: int = signal.SIGKILL, cpu: float = 0.2) -> None:
        self.victim = ""
        self.early = False
        self._client, self._task, self._sent, self._cpu = client, task, sent, cpu
        self._processes = {address: psutil.Process(pid) for address, pid in client.run(os.getpid).items()}
        self._over = threading.Event()

    def during(self, training: Callable[[], Any]) -> Any:
        """What `training` gives, while a thread waits for the moment."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            return training()
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            for address, tasks in self._client.processing().items():
                if address in self._processes and any(str(task).startswith(self._task) for task in tasks):
                    self._end(address)
                    return
            time.sleep(0.01)

    def _end(self, address: str) -> None:
        """The victim has the task; what it computes from now on is that."""
        process = self._processes[address]
        until = sum(process.cpu_times()[:2]) + self._cpu
        while sum(process.cpu_times()[:2]) < until and not self._over.is_set():
            time.sleep(0.01)
        self.early = not self._over.is_set()
        os.kill(process.pid, self._sent)
        self.victim = address
