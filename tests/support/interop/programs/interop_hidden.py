"""An exception that only workers import."""


class HiddenError(Exception):
    pass
