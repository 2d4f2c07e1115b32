# Results that were changed after the job that wrote them are refused, before any job starts.
from snakemake.logging import logger

from entr.jobs.result_checksums import ResultChecksumsHandler, ResultChecksums

checksums = ResultChecksums()
if workflow.is_main_process:
    try:
        checksums.verify()
    except EntrError as error:
        raise WorkflowError(str(error)) from None
    if not workflow.output_settings.dryrun:
        logger.addHandler(ResultChecksumsHandler(checksums))


def compact_checksums():
    """Remove the lines of files that are gone or were made again."""
    try:
        # without the lock, another run may be writing to the file
        if workflow.execution_settings.lock:
            checksums.compact()
    except OSError as error:
        raise WorkflowError(
            f"{error}; make the results writable, or free some space on this disk, and run again"
        ) from None
