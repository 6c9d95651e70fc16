"""Which failures are worth another try: those of the surroundings, not those that would come again."""

from __future__ import annotations

import errno

from ray.exceptions import RayError, RayTaskError

from storage.errors import DubwrightError, LockHeld, WorkersFailed

_LASTING = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
}  # fmt: skip
"""Of the errors that the operating system gives, those that stay until somebody does something about them."""


def worth_another_try(error: BaseException | None) -> bool:
    """True for workers and nodes that were lost, locks that were held, and a network or a disk that did not answer.

    False for what a second try would meet again: inputs that are refused or broken, wrong usage or configuration, a
    training that diverges, a full disk, a missing file or right, and defects of the program.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, RayTaskError):  # what the code of a worker raised, with Ray's account of where
            error = error.cause if isinstance(error.cause, BaseException) else error.__cause__
            continue
        if isinstance(error, DubwrightError):
            return isinstance(error, (WorkersFailed, LockHeld))
        if isinstance(error, RayError):
            return True
        if isinstance(error, OSError):
            return error.errno not in _LASTING
        error = error.__cause__
    return False
