"""Types of configuration values that several sections use."""

import os
from typing import Annotated

from pydantic import AfterValidator, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
