"""An exception that clients know, for they import it as well."""


class AppError(Exception):
    """With two arguments, one of which has a default that clients never see."""

    def __init__(self, code, text="details"):
        super().__init__(code, text)
        self.code = code
