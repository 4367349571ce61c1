"""Runs a PostgreSQL program for the tests as somebody else than root, and lets it die with the process that asked.

`python postgres_launcher.py WAY PROGRAM [ARGUMENT ...]`, where WAY is `plain`, `namespace` (root maps itself to an
ordinary user in a user namespace of its own) or `user` (root becomes the user `nobody`).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_NOBODY = 65534


def main(way: str, program: str, *arguments: str) -> None:
    """Become the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if way == "namespace":
        _enter_namespace(libc)
    elif way == "user":
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    # After any change of user, which would clear it. SIGQUIT makes a server stop at once.
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    os.execv(program, [program, *arguments])


def _enter_namespace(libc: ctypes.CDLL) -> None:
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a user namespace")
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
