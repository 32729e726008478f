"""Runs commands. All that they start ends with this program, before its directory is removed."""
import contextlib
import os
import signal
import subprocess
import threading

_lock, _running, _stopped = threading.Lock(), set(), threading.Event()


class Failure(Exception):
    """It cannot be done; the message is for the user."""


def run(command, timeout=None, stderr=subprocess.STDOUT, **options):
    """Runs a command; returns its exit status, None where it took too long, and what it has written."""
    with _lock:
        if _stopped.is_set():
            raise Failure("stopped")
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stderr=stderr,
                                   stdout=subprocess.PIPE, start_new_session=True, **options)
        _running.add(process)
    try:
        output, errors = process.communicate(timeout=timeout)
        return process.returncode, output, errors
    except BaseException as error:
        kill(process)
        # The pipe ends with the last of those that were started.
        output, errors = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return None, output, errors
        raise
    finally:
        _running.discard(process)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def stop():
    """Ends what is running, and lets nothing begin any more."""
    with _lock:
        _stopped.set()
        for process in list(_running):
            kill(process)
