"""Everything this package raises, each class with a stable code.

The tree::

    TrackRecordError                TR000
    ├── ConfigurationError          TR100  a person typed something that can't work
    │   ├── StorageUrlError         TR101  the storage URL can't be parsed
    │   ├── MissingDriverError      TR102  the driver of that URL is not installed
    │   ├── ParameterNameError      TR103  `file=`, `record=`... name no parameter of the function
    │   ├── DecoratorOrderError     TR104  `@track` stands below `@flow` or `@task`
    │   ├── ConfigFileError         TR105  a delivery report's configuration is wrong
    │   ├── DateRangeError          TR106  dates that are none, or that run backwards
    │   └── UsageError              TR107  a call that makes no sense here (complete before start)
    ├── StoreError                  TR200  the store can't do it now
    │   ├── StoreUnavailableError   TR201  no answer, refused, no rights, no space
    │   ├── KeyExistsError          TR202  exclusive create: somebody else was first
    │   └── ConflictError           TR203  compare-and-swap: the document changed meanwhile
    ├── DamagedDocumentError        TR300  a document in the store can't be read; names its key
    ├── RunNotFoundError            TR301  no run with this id in the store
    └── DeliveryError               TR400  a mail could not be handed over
        └── TemplateError           TR401  a template has an error; names file and line
"""

from __future__ import annotations


class TrackRecordError(Exception):
    """Base of all errors of this package. `code` is stable and listed in the docs."""

    code = "TR000"


class ConfigurationError(TrackRecordError, ValueError):
    """A person typed something that can't work; the message says what to type instead."""

    code = "TR100"


class StorageUrlError(ConfigurationError):
    """The storage URL can't be parsed."""

    code = "TR101"


class MissingDriverError(ConfigurationError):
    """The fsspec driver for a URL is not installed; the message names the extra to install."""

    code = "TR102"


class ParameterNameError(ConfigurationError):
    """A name given to `track` is no parameter of the function."""

    code = "TR103"


class DecoratorOrderError(ConfigurationError, TypeError):
    """`track` was put below `@flow` or `@task`, or on something that is neither."""

    code = "TR104"


class ConfigFileError(ConfigurationError):
    """A configuration file is wrong: an unknown key, a bad address, a value of the wrong type."""

    code = "TR105"


class DateRangeError(ConfigurationError):
    """A date can't be read, or the range ends before it starts."""

    code = "TR106"


class UsageError(ConfigurationError):
    """A call that makes no sense at this moment."""

    code = "TR107"


class StoreError(TrackRecordError):
    """The store can't do it now. Raised at the store's edge for every driver's own errors."""

    code = "TR200"


class StoreUnavailableError(StoreError):
    """The store did not answer, refused, or has no room."""

    code = "TR201"


class KeyExistsError(StoreError):
    """Exclusive create lost: the key is there with other content."""

    code = "TR202"


class ConflictError(StoreError):
    """Compare-and-swap lost: the object's etag is no longer the one given."""

    code = "TR203"


class DamagedDocumentError(TrackRecordError):
    """A document in the store can't be read.

    Args:
        key: the document's key in the store.
        cause: what is wrong with it, in one line.
    """

    code = "TR300"

    def __init__(self, key: str, cause: str) -> None:
        super().__init__(f"{key}: {cause}")
        self.key = key
        self.cause = cause


class RunNotFoundError(TrackRecordError, LookupError):
    """No run with this id in the store."""

    code = "TR301"


class DeliveryError(TrackRecordError):
    """A mail could not be handed over."""

    code = "TR400"


class TemplateError(DeliveryError):
    """A template has an error; the message names its file and line."""

    code = "TR401"
