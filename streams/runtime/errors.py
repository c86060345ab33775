"""The root of the product's exceptions. This module is pure: it loads neither aiokafka nor Faust."""

from streams.runtime.exit_codes import ExitCode


class EvalAlignmentError(Exception):
    """Base class of every exception that the product's packages raise under a public name.

    The message is for people: what is wrong, where, and what to do. `exit_code` is for programs.

        EvalAlignmentError
        ├── AssignmentChanged     streams.engine.restore        the group moved on during a restore
        ├── BadgeError            sinks.page.badge              a badge cannot be drawn as asked
        ├── BindError             sinks.access                  an HTTP server may not, or cannot, listen
        │   └── AddressInUseError     sinks.listener                another program listens on the address
        ├── BlockedError          eval_alignment.doctor.target  a check lacks what it examines
        ├── BrokerError           eval_alignment.local.broker   the embedded broker did not start
        │   └── PortTakenError        eval_alignment.local.broker   another program listens on its port
        ├── BrokerUntrustedError  streams.runtime.failures      TLS failed; also a KafkaError
        ├── ClientError           eval_alignment.client.errors  the client is closed, or was ended by an error
        │   ├── DeliveryError         eval_alignment.client.errors  events were rejected, or were not sent
        │   └── QueueFullError        eval_alignment.client.errors  no room for an event
        ├── ColumnError           eval_alignment.tables.roles   a column is missing, or not understood
        ├── CorruptBatchError     streams.kafka.record_batches  the checksum or the frame of a record batch is wrong
        ├── CorruptPartitionError streams.kafka.batches         it stays so when fetched again; also a KafkaError
        ├── CredentialsError      sources.pulls.credentials     the credentials of a tool are missing or invalid
        ├── CursorError           sinks.queries.comparisons     an invalid cursor; also a ValueError
        ├── DataDirError          eval_alignment.local.datadir  the data directory of `up` cannot be used
        ├── DirectoryInUseError   streams.runtime.directory_lock    another process uses a directory
        ├── DocumentError         sinks.documents               the numbers of a queue cannot be computed
        ├── FatalError            streams.runtime.failures      ends the process with any exit code
        ├── IndexInUseError       sources.intake.store          another process uses the owner index
        ├── IndexNotMadeError     sources.intake.intake         the owner index is not brought up to Kafka yet
        ├── IndexUnusableError    sources.intake.store          the owner index cannot be opened
        ├── InputFormatError      eval_alignment.files          an input is not NDJSON
        ├── InvalidEventError     streams.events.errors         an event that its caller can correct; also a ValueError
        ├── InvalidValueError     streams.events.values         a field of an event; the decoder rejects the event
        ├── LedgerError           eval_alignment.ledger_export  an invalid record, seen by `export` or `doctor`
        ├── NotAcknowledgedError  ingest.publish                the broker did not take the events of a request
        │   └── TooLargeForBrokerError    ingest.publish        the broker refuses events because of their size
        ├── NotPassedError        eval_alignment.load_wait      a view did not pass the loaded events in time
        ├── OtherDeploymentError  eval_alignment.load_wait      a view shows other topics, or another broker's
        ├── OversizedInputError   sources.file_formats          a file is larger than what is read; also an OSError
        ├── PullError             sources.pulls.pull            a tool did not answer as its API does
        │   ├── ToolBusyError         sources.pulls.connection      it may answer later
        │   └── ToolNotFoundError     sources.pulls.connection      it does not have what was asked for
        ├── ReadingLimitError     sources.pulls.reading         a pull has read as much of a list as one pull may
        ├── ScaleError            eval_alignment.tables.labels  the scale of a column is not known
        ├── ReportError           eval_alignment.html_reports   an HTML report cannot be written
        ├── SavedDeadLettersError eval_alignment.local.saved_dead_letters   a damaged file of dead letters
        ├── SecretFileError       ingest.signatures             the secrets of a webhook cannot be used
        ├── SettingsError         eval_alignment.settings       invalid settings
        ├── StoreError            sinks.store.schema            the view's store cannot be used
        │   ├── DataDirInUseError sinks.store.lock              another process uses the data directory
        │   ├── ForeignWriteError sinks.store.store             another process has written to the store
        │   ├── NewerStoreError   sinks.store.schema            a newer release wrote it
        │   └── StoreDamagedError sinks.store.damage            its file is damaged
        │       └── StoreGoneError    sinks.store.damage            its file was deleted, moved or replaced
        ├── StoreAwayError        streams.waiting.store         waiting evaluations cannot be read or written for now
        ├── StoreLostError        streams.waiting.store         those that waited in the store are lost
        ├── TableError            sources.tables  a file is not a table of rows
        ├── TopicsError           streams.kafka.topics          topics are missing or differ in partitions
        ├── UnknownNameError      eval_alignment.unknown_names  an argument names what does not exist
        ├── UnknownShapeError     sources.records               a payload is none of a tool's
        │   └── TooManyRejectedError  sources.intake.dead_letter_budget  a request has too many rejected records
        ├── UnreachableError      eval_alignment.view_client    a view did not return a document
        │   └── QueueNotFoundError    eval_alignment.view_client    the source has no queue of the name
        ├── UnreadableCellError   eval_alignment.tables.labels  a cell is not a label; also a ValueError
        ├── UnpackError           streams.kafka.codecs          compressed bytes are not what their codec makes
        │   └── TooLargeError         streams.kafka.codecs          they would unpack to too much
        └── UpError               eval_alignment.local.supervisor   `up` cannot run
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED
    """How a process ends that does not handle the exception."""
