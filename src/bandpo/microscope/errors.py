"""The one error of reading batches."""


class BatchError(ValueError):
    """A file that holds no batch that can be read; the text names the file, what is wrong, and the way on."""
