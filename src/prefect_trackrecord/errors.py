"""Everything this package raises, each class with a stable code; the page of error codes is made of the docstrings.

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
    ├── PrefectApiError             TR302  Prefect's API does not answer, or refuses
    ├── RunGoesOnError              TR303  the run, or a retry of it, has not ended
    ├── RecordNotFoundError         TR304  no run in the store knows this record
    ├── FilesFailedError            TR305  an attempt failed by its files; Prefect tries the flow again
    └── DeliveryError               TR400  a mail could not be handed over
        └── TemplateError           TR401  a template has an error; names file and line
"""

from __future__ import annotations


class TrackRecordError(Exception):
    """Base of all errors of this package. `code` is stable and listed in the docs."""

    code = "TR000"


class ConfigurationError(TrackRecordError, ValueError):
    """A person typed something that can't work; the message says what to type instead.

    Way out: Type what the message suggests; nothing was tracked or changed yet.
    """

    code = "TR100"


class StorageUrlError(ConfigurationError):
    """The storage URL can't be parsed.

    Way out: Give a folder, `s3://bucket/path`, `azure://container/path`, `gs://bucket/path`, or any URL that fsspec
    knows; a `#`, `?` or space in a name must be escaped.
    """

    code = "TR101"


class MissingDriverError(ConfigurationError):
    """The fsspec driver for a URL is not installed; the message names the extra to install.

    Way out: Install the extra that the message names: `pip install 'prefect-trackrecord[s3]'`.
    """

    code = "TR102"


class ParameterNameError(ConfigurationError):
    """A name given to `track` is no parameter of the function.

    Way out: Use a parameter's name as it stands in the function; the message lists those that there are.
    """

    code = "TR103"


class DecoratorOrderError(ConfigurationError, TypeError):
    """`track` was put below `@flow` or `@task`, or on something that is neither.

    Way out: Put `@track` on the line above `@flow` or `@task`.
    """

    code = "TR104"


class ConfigFileError(ConfigurationError):
    """A configuration file is wrong: an unknown key, a bad address, a value of the wrong type.

    Way out: The message names the key, and the nearest one where the key is unknown;
    `delivery-report.md` lists all keys.
    """

    code = "TR105"


class DateRangeError(ConfigurationError):
    """A date can't be read, or the range ends before it starts.

    Way out: Write days as YYYY-MM-DD, the earlier one first.
    """

    code = "TR106"


class UsageError(ConfigurationError):
    """A call that makes no sense at this moment.

    Way out: Do what the message says comes first; for a run id that fits several runs, give more of the id.
    """

    code = "TR107"


class StoreError(TrackRecordError):
    """The store can't do it now. Raised at the store's edge for every driver's own errors.

    Way out: Try again; nothing that was acknowledged is lost, `trackrecord recover` stores what waits on this host.
    """

    code = "TR200"


class StoreUnavailableError(StoreError):
    """The store did not answer, refused, or has no room.

    Way out: Look at network, rights, credentials and free space; then `trackrecord recover`.
    """

    code = "TR201"


class KeyExistsError(StoreError):
    """Exclusive create lost: the key is there with other content.

    Way out: Read what is there; a writer of documents never meets it, two claims on one mail do.
    """

    code = "TR202"


class ConflictError(StoreError):
    """Compare-and-swap lost: the object's etag is no longer the one given.

    Way out: Read the document again and decide anew.
    """

    code = "TR203"


class DamagedDocumentError(TrackRecordError):
    """A document in the store can't be read.

    Way out: The other documents are read without it. `trackrecord recover` makes a run's documents anew where its
    journal is there; else bring the file back from a backup, or delete it.

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
    """No run with this id in the store.

    Way out: `trackrecord runs list` shows the ids; look whether `--storage` is the history where the flow wrote.
    """

    code = "TR301"


class PrefectApiError(TrackRecordError):
    """Prefect's API does not answer, or refuses.

    Way out: Look whether `PREFECT_API_URL` (and `PREFECT_API_KEY`) are right, and `trackrecord doctor`; then again.
    """

    code = "TR302"


class RunGoesOnError(TrackRecordError):
    """The run has not ended, or what failed in it is being retried already.

    Way out: Wait until it has ended (`trackrecord runs list --status running`); a dead one is ended by
    `trackrecord recover`.
    """

    code = "TR303"


class RecordNotFoundError(TrackRecordError, LookupError):
    """No run in the store knows this record.

    Way out: Look whether `--storage`, or `--folder`, is where the program kept its records; without `--type` every type
    counts. `trackrecord records report RUN`, of a program's own folder with `--folder`, writes the page of all records
    of a run, and `trackrecord runs list` shows the runs of a history.
    """

    code = "TR304"


class FilesFailedError(TrackRecordError):
    """An attempt of a flow with `partial="failed"` or `fail_over=` failed by its files, and the flow has retries left.

    Way out: None needed; Prefect tries the flow again.
    """

    code = "TR305"


class DeliveryError(TrackRecordError):
    """A mail could not be handed over.

    Way out: The message has the server's own words. Run the report again: nobody gets it twice.
    """

    code = "TR400"


class TemplateError(DeliveryError):
    """A template has an error; the message names its file and line.

    Way out: Mend that line; until then the built-in template is taken. `--preview page.html` tries it.
    """

    code = "TR401"
