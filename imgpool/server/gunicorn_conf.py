"""Settings for a gunicorn that is started by hand: `gunicorn -c python:imgpool.server.gunicorn_conf
'imgpool.web:create_app()'`. imgpool's own settings come from the environment and its file, as always.
"""

import sys as _sys

from imgpool.config import load as _load
from imgpool.errors import SettingError as _SettingError
from imgpool.server.application import gunicorn_options as _gunicorn_options

try:
    globals().update(_gunicorn_options(_load()))
except _SettingError as _error:
    print(f"imgpool: {_error}", file=_sys.stderr)  # noqa: T201 - one line instead of a traceback
    _sys.exit(2)
