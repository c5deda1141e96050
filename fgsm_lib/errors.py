"""The one error that a user can cause."""


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the file or option, the value found and what was
    expected. The command line prints it without a traceback and exits with status 1.
    """
